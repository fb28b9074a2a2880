import inspect
import subprocess
import sys

import pytest

import headscribe as hs

HEAVY = ("torch", "transformers", "numpy", "scipy", "pandas", "matplotlib", "rich", "joblib", "pydantic", "evolve")


def in_a_process(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done


def test_importing_it_loads_nothing_heavy():
    code = f"import sys, headscribe; print([name for name in {HEAVY} if name in sys.modules])"
    assert in_a_process(code).stdout.strip() == "[]"


def test_looking_at_runs_loads_no_torch_and_prints_nothing(tiny_run):
    code = f"""
import sys, headscribe as hs
run = hs.open_run({str(tiny_run.path)!r})
run.library["L0H0"].program, run.attention["L0H0", 0], run.programs[0], run.grid.stats, repr(run)
print([name for name in ("torch", "transformers", "matplotlib", "pandas") if name in sys.modules])
"""
    done = in_a_process(code)
    assert done.stdout.strip() == "[]"
    assert done.stderr == ""


def test_every_name_is_there_and_a_misspelt_one_says_which_are():
    for name in hs.__all__:
        assert getattr(hs, name) is not None
        assert name in dir(hs)
    with pytest.raises(AttributeError, match="no attribute 'Programm'; it has Library, Program"):
        hs.Programm  # noqa: B018


def public_functions():
    """Functions of the face, and public methods of its classes."""
    for name in hs.__all__:
        thing = getattr(hs, name)
        if inspect.isfunction(thing):
            yield pytest.param(thing, id=name)
        elif thing.__module__.startswith("headscribe"):
            for method, value in vars(thing).items():
                function = getattr(value, "__func__", value)
                if inspect.isfunction(function) and not method.startswith("_"):
                    yield pytest.param(function, id=f"{name}.{method}")


@pytest.mark.parametrize("function", list(public_functions()))
def test_docstrings_say_what_goes_in(function):
    text = inspect.getdoc(function) or ""
    names = [name for name in inspect.signature(function).parameters if name not in ("self", "cls")]
    assert text
    for name in names:
        assert f"    {name}: " in text, f"no line on {name}"


@pytest.mark.parametrize("name", ["run", "open_run", "load_library", "score", "reduce", "replaced"])
def test_functions_have_sections_and_an_example(name):
    text = inspect.getdoc(getattr(hs, name))
    for section in ("Args:", "Yields:" if name == "replaced" else "Returns:", "Raises:", "Example:", ">>> "):
        assert section in text
