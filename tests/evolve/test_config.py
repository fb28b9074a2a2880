import pytest

from evolve.config import find_config, load_config, parse_config
from fitness.errors import UserError

GOOD = "model: storyteller-gpt2\ntexts: stories\nstop: {max_programs: 10}\n"


@pytest.fixture
def config_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD)
    return path


def test_overrides_reach_into_sections(config_file):
    config = load_config(str(config_file), ["splits.fit=3", "seed=7", "operators={tweak: 1}"])
    assert (config.splits.fit, config.seed, config.operators) == (3, 7, {"tweak": 1})


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("modle=x", "unknown key 'modle'; did you mean 'model'"),
        ("splits.heldout=3", "unknown key 'splits.heldout'; did you mean 'held_out'"),
        ("splits.fit=0", "splits.fit: Input should be greater than or equal to 1"),
        ("operators={twaek: 1}", "unknown operator 'twaek'; did you mean 'tweak'"),
        ("operators={tweak: 0}", "at least one operator a share above 0"),
        ("operators={mutate: 1}", "operator 'mutate' needs llm.models"),
        ("search.descriptors=[reech]", "unknown descriptor 'reech'; did you mean 'reach'"),
        ("stop={}", "set at least one of max_programs"),
        ("stop.target_iou=2", "stop.target_iou: Input should be less than or equal to 1"),
        ("llm.models=[{modell: a}]", "unknown key 'llm.models.0.modell'; did you mean 'model'"),
        ("texts=[{source: stories, colum: a}]", "unknown key 'texts.0.colum'; did you mean 'column'"),
        ("texts=[stories, {source: other, domain: stories}]", "name the domain 'stories' twice"),
        ("transfer=stories", "name the domain 'stories' twice"),
        ("texts=[]", "texts: Value should have at least 1 item"),
        ("texts_by=word", "texts_by: Input should be 'blank_line' or 'line'"),
        ("seed", "--set wants key=value"),
        ("model.a=1", "model is not a section"),
    ],
)
def test_what_is_wrong_is_named_with_what_would_be_right(config_file, override, message):
    with pytest.raises(UserError) as caught:
        load_config(str(config_file), [override])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_key_is_named(tmp_path):
    path = tmp_path / "short.yaml"
    path.write_text("model: a\nstop: {max_programs: 1}\n")
    with pytest.raises(UserError, match="missing key 'texts'"):
        load_config(str(path))


@pytest.mark.parametrize("content", ["a: [", "just words", "- 1"])
def test_what_is_no_configuration_is_refused(tmp_path, content):
    path = tmp_path / "bad.yaml"
    path.write_text(content)
    with pytest.raises(UserError, match=r"bad\.yaml"):
        load_config(str(path))


def test_presets_go_by_their_name_and_by_their_path():
    assert find_config("quickstart").samefile(find_config("configs/quickstart.yaml"))
    with pytest.raises(UserError, match=r"give a YAML file or a preset: .*quickstart"):
        find_config("quickstrat")


def test_a_resolved_configuration_reads_back_equal(config_file):
    config = load_config(str(config_file))
    assert parse_config(config.model_dump(mode="json"), "again") == config


def test_fingerprint_ignores_budgets_and_workers_but_not_texts(config_file):
    plain = load_config(str(config_file)).fingerprint()
    changed = ["stop.max_programs=99", "parallel.workers=1", "operators={tweak: 1}", "library.epsilon=0.1"]
    assert load_config(str(config_file), changed).fingerprint() == plain
    for key in ("max_tokens=9", "splits.test=9", "search.bins=3", "model=other", "seed=1"):
        assert load_config(str(config_file), [key]).fingerprint() != plain


@pytest.mark.parametrize(
    ("written", "names"),
    [
        ("stories", ["stories"]),
        ("data/my.texts.jsonl", ["my.texts"]),
        ("owner/pages", ["pages"]),
        ({"source": "a.csv", "column": "body"}, ["a"]),
        (["stories", {"source": "python-code", "domain": "code"}, "python-docs"], ["stories", "code", "python-docs"]),
    ],
)
def test_texts_keep_the_form_they_were_written_in_and_have_a_domain_each(config_file, written, names):
    config = parse_config({"model": "a", "texts": written, "stop": {"max_programs": 1}}, "here")
    assert [source.name for source in config.texts] == names
    assert config.model_dump(mode="json")["texts"] == written


def test_sources_are_read_as_their_entry_says(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("One.\nTwo.\n\nThree.")
    entries = [{"source": str(path), "domain": "lines", "texts_by": "line", "rows": 2}, str(path)]
    config = parse_config({"model": "a", "texts": entries, "stop": {"max_programs": 1}}, "here")
    lines, blanks = (source.read(config.texts_by) for source in config.texts)
    assert (lines, blanks) == (["One.", "Two."], ["One.\nTwo.", "Three."])
