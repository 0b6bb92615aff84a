"""The how-to on derivatives, run as a user would run it. Values: as published there, last digits by scipy 1.17."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest

import optcore as om


def sphere(x):
    return x @ x


def sphere_gradient(x):
    return 2 * x


def sphere_fun_and_gradient(x):
    return x @ x, 2 * x


@om.mark.least_squares
def ls_sphere(params):
    return params


@om.mark.least_squares
def ls_sphere_jac(params):
    return np.eye(len(params))


def test_parallel_numerical_derivatives_end_at_zero_and_count_every_call():
    result = om.minimize(
        fun=sphere, params=np.arange(5), algorithm="scipy_lbfgsb", numdiff_options=om.NumdiffOptions(n_cores=6)
    )
    np.testing.assert_array_equal(result.params.round(6), np.zeros(5))
    assert result.n_fun_evals == len(result.history) == 18  # three gradients of n + 1
    assert result.n_numdiff_evals == 15
    np.testing.assert_array_equal(np.bincount(result.history.batch), [6, 6, 6])


@pytest.mark.parametrize(
    "given",
    [
        {"jac": sphere_gradient},
        {"fun_and_jac": sphere_fun_and_gradient},
        {"jac": sphere_gradient, "fun_and_jac": sphere_fun_and_gradient},
    ],
    ids=lambda given: "+".join(given),
)
def test_closed_form_derivatives_end_at_zero(given):
    result = om.minimize(fun=sphere, params=np.arange(5), algorithm="scipy_lbfgsb", **given)
    assert result.success
    assert result.fun == pytest.approx(1.1401505e-29)


def test_dict_params_end_where_the_howto_says():
    result = om.minimize(
        fun=lambda x: x["a"] ** 2 + x["b"] ** 4,
        params={"a": 1, "b": 2},
        algorithm="scipy_lbfgsb",
        jac=lambda x: {"a": 2 * x["a"], "b": 4 * x["b"] ** 3},
    )
    assert result.params["a"] == pytest.approx(2.2463462376e-07, rel=1e-9)
    assert result.params["b"] == pytest.approx(5.724250650e-03, rel=1e-9)
    assert type(result.params["a"]) is float


def test_least_squares_with_jacobian_ends_at_zero():
    result = om.minimize(fun=ls_sphere, params=np.arange(3), algorithm="scipy_ls_lm", jac=ls_sphere_jac)
    np.testing.assert_array_equal(result.params.round(5), np.zeros(3))


def test_each_solver_takes_the_derivative_of_its_kind_and_criterion_plot_starts_both_at_30():
    results = {
        algorithm: om.minimize(
            fun=ls_sphere, params=np.arange(5), algorithm=algorithm, jac=[sphere_gradient, ls_sphere_jac]
        )
        for algorithm in ["scipy_lbfgsb", "scipy_ls_lm"]
    }
    figure = om.criterion_plot(results)
    assert [trace.name for trace in figure.data] == ["scipy_lbfgsb", "scipy_ls_lm"]
    assert [trace.y[0] for trace in figure.data] == [30.0, 30.0]
    assert results["scipy_lbfgsb"].n_jac_evals > 0
    assert results["scipy_ls_lm"].n_numdiff_evals == 0


SCRIPT = textwrap.dedent(
    """
    import numpy as np
    import optcore as om

    def sphere(x):
        return x @ x

    res = om.minimize(fun=sphere, params=np.arange(5), algorithm="scipy_lbfgsb",
                      numdiff_options=om.NumdiffOptions(n_cores=2))
    print(np.abs(res.params.round(6)).tolist(), res.n_fun_evals)
    """
)


def test_a_plain_script_needs_no_main_guard(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.split("\n")[0] == "[0.0, 0.0, 0.0, 0.0, 0.0] 18", done.stderr


def test_an_interactive_session_can_use_worker_processes():
    done = subprocess.run(
        [sys.executable, "-i"], input=SCRIPT, capture_output=True, text=True, timeout=120, check=False
    )
    assert "[0.0, 0.0, 0.0, 0.0, 0.0] 18" in done.stdout, done.stderr


def test_import_optcore_loads_no_data_frames_plots_joblib_or_solvers_of_others():
    heavy = ("pandas", "pyarrow", "plotly", "joblib", "jax", "nlopt", "dfols", "pybobyqa", "iminuit", "optimagic")
    code = (
        "import sys, optcore; optcore.algos.names; optcore.algos.filter(least_squares=True); "
        f"print([m for m in {heavy!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
