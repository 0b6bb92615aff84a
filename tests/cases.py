"""Small cases of one test: what every test of pytest's costs beside its own time is spent once for all of them."""

import functools
import inspect


def in_one_test(names, values):
    """Like pytest.mark.parametrize, but the cases are one test, which says the first one that fails.

    For cases that take milliseconds each and mostly fail together; fixtures are shared by them.

    Args:
        names: of arguments, with commas between them.
        values: for one name the values themselves, for several tuples of them.
    """
    words = [word.strip() for word in names.split(",")]
    cases = [dict(zip(words, value if len(words) > 1 else (value,), strict=True)) for value in values]

    def decorate(test):
        signature = inspect.signature(test)

        @functools.wraps(test)
        def all_cases(**others):
            for case in cases:
                try:
                    test(**others, **case)
                except Exception as error:
                    error.add_note(f"in the case {', '.join(f'{name} = {value!r}' for name, value in case.items())}")
                    raise

        left = [parameter for name, parameter in signature.parameters.items() if name not in words]
        all_cases.__signature__ = signature.replace(parameters=left)
        return all_cases

    return decorate
