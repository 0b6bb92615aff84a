"""NIST's nonlinear regressions: the data and models are NIST's, and the certified results are reproduced."""

from __future__ import annotations

import hashlib
import importlib.util
import pickle
import subprocess
import sys
import warnings
from importlib.resources import files
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import optcore as om
from optcore.errors import InvalidInputError
from optcore_problems import Certified, Problem, get_problem, get_suite
from optcore_problems.checks import Verdict, check_problem
from optcore_problems.nist_strd.dataset import observations
from tests.cases import in_one_test
from tests.problems.reference_values import second_point

SUITE = get_suite("nist_strd")
every_problem = in_one_test("problem", SUITE)
per_dataset = in_one_test("problem", SUITE.filter(tags="start1"))
needs_jax = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="jax, an optional library, is not installed"
)

# NIST's list of data sets, by level of difficulty: number of parameters and of observations.
LEVELS = {
    "lower": "Misra1a 2 14, Chwirut2 3 54, Chwirut1 3 214, Lanczos3 6 24, Gauss1 8 250, Gauss2 8 250, DanWood 2 6, "
    "Misra1b 2 14",
    "average": "Kirby2 5 151, Hahn1 7 236, Nelson 3 128, MGH17 5 33, Lanczos1 6 24, Lanczos2 6 24, Gauss3 8 250, "
    "Misra1c 2 14, Misra1d 2 14, Roszman1 4 25, ENSO 9 168",
    "higher": "MGH09 4 11, Thurber 7 37, BoxBOD 2 6, Rat42 3 9, MGH10 3 16, Eckerle4 3 35, Rat43 4 15, Bennett5 3 154",
}
DATASETS = [(level, *row.split()) for level, rows in LEVELS.items() for row in rows.split(", ")]

# Computed by the models and the reader of files in the tests of lmfit 1.3.4, executed for this table: by start, the
# sum of squares there, the sum of squares at start * (1 + 0.1 (1, -1/2, 1/3, ...)), and the sum of residuals there.
VALUES = {
    "Misra1a": (
        (10780.190163909723, 10041.963194358194, -338.45446007988147),
        (44.77127682274221, 7.235500495332767, 6.392363479235476),
    ),
    "Chwirut2": (
        (14794.790154797309, 15071.865954091887, -648.0387176916564),
        (1486.9588243027144, 1299.0578607535579, -64.01150139594213),
    ),
    "Chwirut1": (
        (50068.64891449798, 51469.148653677425, -2465.5411077807667),
        (4575.708598741871, 4113.991838672637, -218.72787083841192),
    ),
    "Lanczos3": (
        (269.7514694982057, 303.163262484985, 58.45194885274307),
        (78.78921610295892, 89.21703073434715, 30.10148966856841),
    ),
    "Gauss1": (
        (7371.720578441941, 23805.587173206848, 1551.9497328429077),
        (12081.692554365984, 35539.34331170663, 1395.5242650970129),
    ),
    "Gauss2": (
        (9158.139582026259, 28018.134388677285, 1408.7853365722171),
        (4683.130709123018, 21401.667537639754, 1093.2951399621597),
    ),
    "DanWood": (
        (149.71921907712198, 138.48855322221797, 26.863781706518992),
        (0.10376469658088694, 0.07431117248375105, -0.586854964219504),
    ),
    "Misra1b": (
        (10994.317207569991, 10247.790885662971, -341.43662902998375),
        (8654.692090994748, 7863.617972521876, -298.7525363204252),
    ),
    "Kirby2": (
        (373285.35854727076, 421390.3566320373, 6476.666831482962),
        (987.7209682261597, 74.00032955596346, -39.24573462794108),
    ),
    "Hahn1": (
        (3097556.527433772, 5807885.5835922, 26848.575715596922),
        (2093448.201741962, 3762310.911116259, 18313.733721124496),
    ),
    "Nelson": (
        (63.08354004220651, 52.50105503040979, -13.446280456387488),
        (48.48992897698797, 61.70787920653939, 53.39505586030563),
    ),
    "MGH17": (
        (87848.85333348387, 103326.56121206537, 1833.3579739977613),
        (0.8790262935446402, 1.3261486900716506, 6.465132593625803),
    ),
    "Lanczos1": (
        (269.75037483660986, 303.16208562814336, 58.45178473643289),
        (78.7886197530392, 89.21638789140776, 30.101325552258228),
    ),
    "Lanczos2": (
        (269.75047288563053, 303.16218926855595, 58.451791352743065),
        (78.78867479290683, 89.21644621140297, 30.10133216856841),
    ),
    "Gauss3": (
        (18905.135315795076, 16139.57602488225, 1497.1483996731656),
        (13998.920785199172, 27637.290604291655, 2134.725204233183),
    ),
    "Misra1c": (
        (11603.016411876715, 10835.372900748076, -349.8091803603253),
        (262.4565829936578, 57.49508156994221, -26.153608535578893),
    ),
    "Misra1d": (
        (11202.656768336205, 10448.495841946698, -344.31927768604163),
        (16.39021862926809, 190.07910194944185, 45.203521347752975),
    ),
    "Roszman1": (
        (0.5108107497991895, 0.41028487863917407, -3.19808618741325),
        (0.001224221716490111, 0.011460324569105963, 0.5131679348731608),
    ),
    "ENSO": (
        (1153.943948485461, 1462.279890949675, 240.31347036507128),
        (914.9755270466555, 899.7501547721602, 76.90469049222298),
    ),
    "MGH09": (
        (897.5453780404946, 963.8392518502621, 76.99330492639919),
        (0.00531317227210854, 0.009743210443037088, 0.09375956648714834),
    ),
    "Thurber": (
        (4528124.603575194, 17848873.88370052, 13427.011070125605),
        (85873749.82313621, 18424535.240144458, -5165.162501027073),
    ),
    "BoxBOD": (
        (186382.3816574575, 186203.01925276904, -1029.0645919859594),
        (48785.25266563878, 40645.68876584193, -472.3356651069313),
    ),
    "Rat42": (
        (19915.852728025675, 28731.5823772296, 499.3641198020479),
        (152.76201475026505, 1123.9899085278944, 94.24410273640603),
    ),
    "MGH10": (
        (4515242701191391.0, 417375777561990.0, 81713831.16261315),
        (1693607809.4361453, 2858695075.060402, -170278.90483360863),
    ),
    "Eckerle4": (
        (0.7223026503022252, 0.7003863779596488, -2.617148120463951),
        (0.05668290844443551, 0.9974687577942144, -0.8611277685853626),
    ),
    "Rat43": (
        (3066308.192285565, 2907965.8844524836, -5659.983497733048),
        (14655.213236170799, 129925.15570398919, 1238.0275503553198),
    ),
    "Bennett5": (
        (66022.44665915727, 41621.5275306334, 2531.4356165114186),
        (57261.10544893606, 33718.0009459761, 2278.4814595812077),
    ),
}

# In float64 these residuals are known to fewer digits, since they are small differences of numbers of size 1.
LEAST_DIGITS_OF_F = {"Lanczos1": 1.5, "Lanczos2": 9.5}


def relative_step(problem: Problem) -> NDArray[np.float64]:
    return problem.start * second_point(np.zeros(problem.n))


def test_the_suite_holds_both_starts_of_all_data_sets_in_the_order_of_nist() -> None:
    assert len(SUITE) == 54
    expected = [
        (f"{name.lower()}_start{start}", name, level, f"start{start}", int(n), int(m))
        for level, name, n, m in DATASETS
        for start in (1, 2)
    ]
    tags = ("dataset", "level", "start")
    assert [(p.name, *(p.tags[tag] for tag in tags), p.n, p.m) for p in SUITE] == expected
    assert all(p.m == p.tags["observations"] for p in SUITE)


@pytest.mark.parametrize(
    ("tags", "count"),
    [
        ({"model": "rational"}, 8),
        ({"model": "exponential"}, 32),
        ({"model": "miscellaneous"}, 14),
        ("generated", 18),
        ({"data": "observed", "level": ["lower", "higher"], "start": "start2"}, 11),
    ],
    ids=str,
)
def test_problems_are_found_by_their_tags(tags: Any, count: int) -> None:
    assert len(SUITE.filter(tags=tags)) == count


def test_a_problem_says_what_it_is() -> None:
    problem = SUITE["roszman1_start2"]
    assert "y =  b1 - b2*x - arctan[b3/(x-b4)]/pi  +  e" in problem.description
    assert problem.description.startswith("These data are the result of a NIST study involving\nquantum defects")
    assert problem.reference.endswith("nls_main.shtml; Roszman, L., NIST (19??). Quantum Defects for Sulfur I Atom.")
    assert problem.remarks
    for each in SUITE:
        assert "b1" in each.description
        assert "Start" not in each.description


@every_problem
def test_starts_data_and_models_are_those_of_another_program(problem: Problem) -> None:
    f_start, f_second, sum_second = VALUES[problem.tags["dataset"]][int(problem.name[-1]) - 1]
    second = problem.start + relative_step(problem)
    np.testing.assert_allclose(problem.f_start, f_start, rtol=1e-12)
    np.testing.assert_allclose(problem.fun(second), f_second, rtol=1e-12)
    np.testing.assert_allclose(problem.residuals(second).sum(), sum_second, rtol=1e-11)


@pytest.mark.parametrize(
    ("name", "other", "sign"),
    [("mgh09_start2", "kowalik_osborne", -1), ("mgh10_start2", "meyer", 1), ("mgh17_start2", "osborne_1", -1)],
)
def test_functions_that_other_suites_hold_too_are_the_same(name: str, other: str, sign: int) -> None:
    problem, known = SUITE[name], get_problem(f"more_wild/{other}")
    for x in (problem.start, problem.start + relative_step(problem), problem.x_opt):
        expected = sign * known.residuals(x)
        np.testing.assert_allclose(problem.residuals(x), expected, rtol=1e-11, atol=1e-13 * np.abs(expected).max())
    # Both minima were computed independently, with 80 and with 110 digits.
    assert problem.f_opt == pytest.approx(known.f_opt, rel=4e-16)
    np.testing.assert_allclose(problem.x_opt, known.x_opt, rtol=4e-16)
    assert problem.local_optima == known.local_optima


@per_dataset
def test_certified_estimates_reproduce_the_certified_sum_of_squares(problem: Problem) -> None:
    certified = problem.certified
    if problem.tags["dataset"] == "Lanczos1":
        # A change of 5e-11 in the 11th digit changes residuals by more than the 1e-13 that they are.
        assert problem.fun(certified.params) < 1e-20
        return
    np.testing.assert_allclose(
        problem.fun(certified.params), certified.rss, rtol=2e-10 if problem.tags["dataset"] == "Lanczos2" else 1e-10
    )


@per_dataset
def test_certified_standard_deviations_follow_from_the_jacobian(problem: Problem) -> None:
    J = problem.jacobian(problem.x_opt)
    size = np.linalg.norm(J, axis=0)
    inverse = np.linalg.inv(np.linalg.qr(J / size, mode="r"))
    std = np.sqrt(problem.f_opt / (problem.m - problem.n) * (inverse**2).sum(axis=1)) / size
    np.testing.assert_allclose(std, problem.certified.std, rtol=1e-10)


@per_dataset
def test_the_residual_standard_deviation_and_its_degrees_of_freedom_are_those_of_the_file(problem: Problem) -> None:
    text = (files("optcore_problems.nist_strd") / "files" / f"{problem.tags['dataset']}.dat").read_text()
    printed = {name: value for name, _, value in (line.partition(":") for line in text.splitlines()[40:60])}
    freedom = problem.m - problem.n
    assert float(f"{np.sqrt(problem.f_opt / freedom):.10e}") == float(printed["Residual Standard Deviation"])
    is_misprint = problem.tags["dataset"] == "Rat43"
    assert int(printed["Degrees of Freedom"]) == (9 if is_misprint else freedom)
    assert is_misprint == any("degrees of freedom" in remark for remark in problem.remarks)


@per_dataset
def test_the_minimum_is_the_certified_one_with_more_digits(problem: Problem) -> None:
    certified, dataset = problem.certified, problem.tags["dataset"]
    assert float(f"{problem.f_opt:.10e}") == certified.rss
    assert [float(f"{x:.10e}") for x in problem.x_opt] == certified.params.tolist()
    assert 10.3 < certified.digits(problem.x_opt) <= 11.0
    rtol = 10.0 ** -LEAST_DIGITS_OF_F.get(dataset, 11.0)
    np.testing.assert_allclose(problem.fun(problem.x_opt), problem.f_opt, rtol=rtol)
    size = 2.0 * np.abs(problem.residuals(problem.x_opt)) @ np.abs(problem.jacobian(problem.x_opt))
    assert np.all(np.abs(problem.gradient(problem.x_opt)) <= rtol * size)


def test_certified_digits_that_are_too_few_for_the_sum_of_squares_are_no_fault_of_the_problem() -> None:
    for problem in (SUITE["lanczos1_start1"], SUITE["lanczos2_start1"]):
        assert not [check for check in check_problem(problem, jax=False) if check.verdict is Verdict.WRONG]


def solve(problem: Problem) -> om.OptimizeResult:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # far points, from which MGH17 overflows
        return om.minimize(
            om.mark.least_squares(problem.residuals),
            problem.start,
            "scipy_ls_trf",
            jac=om.mark.least_squares(problem.jacobian),
            algo_options={f"convergence_{name}_rel": 1e-15 for name in ("ftol", "xtol", "gtol")},
        )


@every_problem
def test_trust_region_least_squares_solves_from_both_starts_and_nothing_is_below_the_minimum(problem: Problem) -> None:
    result = solve(problem)
    digits = problem.certified.digits(result.params)
    rtol = 10.0 ** -LEAST_DIGITS_OF_F.get(problem.tags["dataset"], 11.0)
    assert result.fun == pytest.approx(problem.f_opt, rel=rtol)
    assert digits > 5.5, f"{digits:.2f} digits"


def points(problem: Problem) -> list[NDArray[np.float64]]:
    return [problem.start.copy(), problem.certified.params, problem.start + relative_step(problem)]


def assert_equal_to_rounding(actual: Any, expected: NDArray[np.float64]) -> None:
    """Entry by entry, relative to the largest entry of the row and of the column."""
    size = np.minimum(np.abs(expected).max(axis=0), np.abs(expected).max(axis=1)[:, None])
    assert np.isfinite(expected).all()
    assert actual.shape == expected.shape
    assert np.all(np.abs(actual - expected) <= 1e-12 * size)


@every_problem
def test_complex_step_gives_the_jacobian(problem: Problem) -> None:
    h = 1e-150
    for x in points(problem):
        complex_points = x + 1j * h * np.eye(problem.n)
        columns = [problem.residuals(row).imag / h for row in complex_points]
        assert_equal_to_rounding(np.stack(columns, axis=1), problem.jacobian(x))
        np.testing.assert_allclose(problem.residuals_batch(complex_points).imag / h, columns, rtol=1e-13, atol=1e-300)
        np.testing.assert_allclose(
            problem.residuals(x.astype(complex)).real, problem.residuals(x), rtol=1e-10, atol=1e-13
        )


@every_problem
def test_many_points_give_what_one_at_a_time_gives(problem: Problem) -> None:
    assert problem.takes_columns
    batch = np.stack(points(problem))
    expected = [problem.residuals(x) for x in batch]
    np.testing.assert_allclose(problem.residuals_batch(batch), expected, rtol=1e-13, atol=1e-13)
    assert problem.residuals_batch(batch).shape == (3, problem.m)


@needs_jax
@pytest.mark.parametrize("problem", SUITE.filter(tags="start1"), ids=lambda p: p.tags["dataset"])
def test_jax_gives_the_same_residuals_and_derivatives(problem: Problem) -> None:
    import jax

    def everything(x: Any) -> tuple[Any, Any, Any]:
        return problem.residuals(x), jax.jacfwd(problem.residuals)(x), jax.grad(problem.fun)(x)

    second = SUITE[problem.name.replace("start1", "start2")]
    batch = np.stack([*points(problem), *points(second)])
    with jax.enable_x64(True):
        x = jax.numpy.asarray(batch)
        # Compiling takes nearly all of the time, and half of that without optimizations.
        compiled = jax.jit(jax.vmap(everything)).lower(x).compile({"xla_backend_optimization_level": "0"})
        answers = compiled(x)
    for x, residuals, jacobian, gradient in zip(batch, *map(np.asarray, answers), strict=True):
        expected = problem.residuals(x)
        y, _ = observations(problem.tags["dataset"])
        np.testing.assert_allclose(residuals, expected, rtol=1e-12, atol=1e-13 * np.abs(y).max())
        assert_equal_to_rounding(jacobian, problem.jacobian(x))
        size = 2.0 * np.abs(expected) @ np.abs(problem.jacobian(x))
        # Where residuals are 1e-13, rounding is a part of them.
        rounding = 1e-10 * size + 1e-14 * np.abs(problem.jacobian(x)).sum(axis=0)
        assert np.all(np.abs(gradient - problem.gradient(x)) <= rounding)


@per_dataset
def test_complex_numbers_do_not_make_values_of_what_is_out_of_the_domain(problem: Problem) -> None:
    rng = np.random.default_rng(3)
    x = problem.start * rng.choice([-1.0, 1.0], (200, problem.n)) * 10.0 ** rng.uniform(-2.0, 2.0, (200, problem.n))
    real, complex_ = problem.residuals_batch(x), problem.residuals_batch(x + 1e-150j)
    finite = np.isfinite(complex_)
    assert finite.any()
    assert np.isfinite(real[finite]).all()
    np.testing.assert_allclose(complex_.real[finite], real[finite], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(
    ("name", "x"),
    [
        ("bennett5_start1", [-2000.0, -9.0, 0.8]),
        ("bennett5_start1", [-2000.0, -9.0, 1.0]),
        ("misra1c_start1", [500.0, -0.002]),
    ],
)
def test_powers_of_negative_numbers_are_not_a_number_in_every_namespace(name: str, x: list[float]) -> None:
    problem = SUITE[name]
    r = problem.residuals(x)
    out = np.isnan(r)
    assert 0 < out.sum() < problem.m
    np.testing.assert_array_equal(np.isnan(problem.residuals(np.array(x) + 1e-200j)), out)
    np.testing.assert_array_equal(np.isnan(problem.jacobian(x)).any(axis=1), out)


@needs_jax
def test_jax_differentiates_within_the_domain_where_other_residuals_are_out_of_it() -> None:
    import jax

    problem, x = SUITE["bennett5_start1"], np.array([-2000.0, -9.0, 0.8])
    with jax.enable_x64(True):
        r, J = jax.jit(lambda x: (problem.residuals(x), jax.jacfwd(problem.residuals)(x)))(jax.numpy.asarray(x))
    out = np.isnan(problem.residuals(x))
    np.testing.assert_array_equal(np.isnan(r), out)
    np.testing.assert_allclose(np.asarray(J)[~out], problem.jacobian(x)[~out], rtol=1e-12)


def test_problems_pickle_by_name() -> None:
    for problem in SUITE:
        pickled = pickle.dumps(problem)
        assert len(pickled) < 6000
        np.testing.assert_array_equal(pickle.loads(pickled).residuals(problem.start), problem.residuals(problem.start))


def test_files_are_those_that_their_provenance_names() -> None:
    folder = files("optcore_problems.nist_strd") / "files"
    rows = [line.split("|")[1:-1] for line in (folder / "README.md").read_text().splitlines() if ".dat" in line]
    named = {row[0].strip(): row[-1].strip() for row in rows if len(row) > 2}
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if path.name.endswith(".dat")
    }
    assert found == named
    assert len(found) == 27


def test_files_are_read_when_they_are_needed() -> None:
    code = (
        "import sys\n"
        "opened = []\n"
        "sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == 'open' else None)\n"
        "def read(): return [name for name in opened if name.endswith('.dat')]\n"
        "import optcore_problems\n"
        "assert not read()\n"
        "suite = optcore_problems.get_suite('nist_strd')\n"
        "assert len(read()) == 27\n"
        "for _ in range(3): suite['misra1a_start1'].fun([1.0, 2.0]), suite['misra1a_start2'].fun([1.0, 2.0])\n"
        "assert len(read()) == 28\n"
        "assert not {'pandas', 'jax'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


CERTIFIED = Certified(np.array([2.0, -0.5, 0.0]), np.ones(3), 1.0, "a test")


@pytest.mark.parametrize(
    ("params", "digits"),
    [
        ([2.0, -0.5, 0.0], 11.0),
        ([2.0002, -0.5, 0.0], 4.0),
        ([2.0002, -0.505, 0.0], 2.0),
        ([2.0, -0.5, 1e-7], 7.0),
        ([2.0 + 1e-15, -0.5, 0.0], 11.0),
        ([2.0, 0.5, 0.0], 0.0),
        ([2.0, -0.5, 3.0], 0.0),
        ([np.nan, -0.5, 0.0], 0.0),
        ([2.0, np.inf, 0.0], 0.0),
        ([1e308, -1e308, 1e308], 0.0),
    ],
    ids=str,
)
def test_digits_are_those_of_the_worst_parameter(params: list[float], digits: float) -> None:
    assert CERTIFIED.digits(params) == pytest.approx(digits, abs=1e-9)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ([1.0, 2.0], r"digits takes estimates of shape \(3,\), but they have \(2,\)"),
        ([[1.0, 2.0, 3.0]], r"digits takes estimates of shape \(3,\), but they have \(1, 3\)"),
        (["a", "b", "c"], r"digits takes a vector of 3 numbers, not \['a', 'b', 'c'\]"),
    ],
    ids=str,
)
def test_digits_of_what_is_no_estimate_are_refused(params: Any, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        CERTIFIED.digits(params)


def test_what_is_certified_cannot_be_changed() -> None:
    for certified in (CERTIFIED, pickle.loads(pickle.dumps(CERTIFIED)), SUITE["nelson_start1"].certified):
        for vector in (certified.params, certified.std):
            with pytest.raises(ValueError, match="read-only"):
                vector[0] = 1.0
    with pytest.raises(InvalidInputError, match=r"one length, but have the shapes \(3,\) and \(2,\)"):
        Certified(np.ones(3), np.ones(2), 1.0, "a test")
