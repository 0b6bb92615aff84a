"""Arguments that other libraries' minimizers have, and what to use here instead."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["ELSEWHERE"]

_HISTORY = "every call is in result.history"
_HESSIAN = "second derivatives are not used; the solvers that want one take differences of gradients"

_SCIPY = {
    "x0": "the start is called params",
    "method": "the solver is called algorithm, for instance algorithm='scipy_lbfgsb'",
    "args": "further arguments go into fun_kwargs, by name",
    "kwargs": "further arguments go into fun_kwargs",
    "options": "options of the solver go into algo_options",
    "tol": "tolerances go into algo_options, for instance {'convergence_ftol_rel': 1e-9}",
    "ftol": "tolerances go into algo_options, for instance {'convergence_ftol_rel': 1e-9}",
    "xtol": "tolerances go into algo_options, for instance {'convergence_xtol_rel': 1e-9}",
    "gtol": "tolerances go into algo_options, for instance {'convergence_gtol_abs': 1e-9}",
    "max_nfev": "limits go into budget, for instance om.Budget(max_evaluations=100)",
    "hess": _HESSIAN,
    "hessp": _HESSIAN,
    "callback": f"{_HISTORY}, and budget=om.Budget(...) ends a run",
    "constraints": "fixed= holds params where they are; scipy.optimize.minimize and optimagic have other constraints",
    "jac_sparsity": "a jac may return scipy sparse arrays, which scipy_ls_trf and scipy_ls_dogbox keep sparse",
    "diff_step": "steps go into numdiff_options, for instance om.NumdiffOptions(step_size=1e-6)",
    "workers": "parallel derivatives go into numdiff_options, for instance om.NumdiffOptions(n_cores=4)",
    "tr_solver": "options of the solver go into algo_options",
    "tr_options": "options of the solver go into algo_options, here as tr_solver_options",
    "x_scale": "scale the params within fun",
    "loss": "apply the loss within a scalar fun; residuals count by their squares",
    "f_scale": "apply the loss within a scalar fun; residuals count by their squares",
    "verbose": f"{_HISTORY}; om.criterion_plot draws it",
}
_OPTIMAGIC = {
    "direction": "use om.maximize to maximize",
    "multistart": "start from several points in a loop of your own, or use a global solver",
    "multistart_options": "start from several points in a loop of your own, or use a global solver",
    "scaling": "scale the params within fun",
    "scaling_options": "scale the params within fun",
    "log_options": f"{_HISTORY}; history.to_frame() gives a table, history.to_parquet() a file",
    "logging": f"{_HISTORY}; history.to_frame() gives a table, history.to_parquet() a file",
    "skip_checks": "there are no extra calls to skip: the first call of the solver is the check",
    "error_penalty": "with error_handling='continue' solvers get a penalty that rises with the distance from the start",
    "criterion": "the function is called fun",
    "criterion_kwargs": "further arguments of fun go into fun_kwargs",
    "derivative": "the derivative is called jac",
    "derivative_kwargs": "further arguments of jac go into jac_kwargs",
    "criterion_and_derivative": "a function that returns both is called fun_and_jac",
    "criterion_and_derivative_kwargs": "further arguments of fun_and_jac go into fun_and_jac_kwargs",
    "lower_bounds": "bounds go into bounds=om.Bounds(lower=..., upper=...)",
    "upper_bounds": "bounds go into bounds=om.Bounds(lower=..., upper=...)",
    "soft_lower_bounds": "bounds are hard here: bounds=om.Bounds(lower=..., upper=...)",
    "soft_upper_bounds": "bounds are hard here: bounds=om.Bounds(lower=..., upper=...)",
}
_LMFIT = {
    "fcn": "the function is called fun; mark one that returns residuals with om.mark.least_squares",
    "kws": "further arguments go into fun_kwargs",
    "fcn_args": "further arguments go into fun_kwargs, by name",
    "fcn_kws": "further arguments go into fun_kwargs",
    "iter_cb": f"{_HISTORY}, and budget=om.Budget(...) ends a run",
    "nan_policy": "nan counts as infinity; error_handling='continue' gives solvers a penalty there",
    "reduce_fcn": "a marked fun is summed up for scalar solvers: om.mark.least_squares, om.mark.likelihood",
    "calc_covar": "there are no covariances; compute them from a jacobian at result.params",
    "scale_covar": "there are no covariances; compute them from a jacobian at result.params",
    "vary": "params that don't vary go into fixed, for instance fixed=['b']",
}

#: Name of the argument -> what to use instead.
ELSEWHERE: Mapping[str, str] = {**_LMFIT, **_OPTIMAGIC, **_SCIPY}
