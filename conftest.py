"""What doctests of the public face and its tests share: one tiny run."""

import pytest

TINY = {
    "model": "storyteller-gpt2",
    "texts": "stories",
    "max_tokens": 24,
    "splits": {"fit": 4, "held_out": 5, "test": 5},
    "stop": {"max_programs": 40},
    "search": {"batch": 8},
    "parallel": {"workers": 1},
    "transfer": [],
}


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """Settings of a campaign of seconds on the bundled model, with an attention cache of its own."""
    return TINY | {"attention_cache": tmp_path_factory.mktemp("tiny-attention")}


@pytest.fixture(scope="session")
def tiny_run(tiny, tmp_path_factory):
    """A finished run; look at it, do not change it."""
    import headscribe as hs

    with hs.run("quickstart", run_dir=tmp_path_factory.mktemp("tiny") / "run", **tiny) as run:
        yield run


@pytest.fixture(autouse=True)
def names_of_doctests(request):
    """Examples in docstrings know `hs`, `run` and `tiny`, as the pages of the documentation do."""
    if isinstance(request.node, pytest.DoctestItem):
        import headscribe as hs

        names = {name: request.getfixturevalue(fixture) for name, fixture in (("run", "tiny_run"), ("tiny", "tiny"))}
        request.getfixturevalue("doctest_namespace").update(names, hs=hs)
