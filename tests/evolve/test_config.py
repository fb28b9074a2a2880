import pytest

from evolve.config import find_config, load_config, parse_config
from evolve.config.keys import all_places, default_of, meaning, wanted
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
        ("splits.fit=0", "--set splits.fit=0: must be a whole number, 1 or more; got 0"),
        ("operators={twaek: 1}", "unknown operator 'twaek'; did you mean 'tweak'"),
        ("operators={tweak: 0}", "at least one operator a share above 0"),
        ("operators={mutate: 1}", "operator 'mutate' needs llm.models"),
        ("search.descriptors=[reech]", "unknown descriptor 'reech'; did you mean 'reach'"),
        ("stop={}", "set at least one of max_programs"),
        ("stop.target_iou=2", "--set stop.target_iou=2: must be a number above 0, at most 1; got 2"),
        ("llm.models=[{modell: a}]", "unknown key 'llm.models.0.modell'; did you mean 'model'"),
        ("texts=[{source: stories, colum: a}]", "unknown key 'texts.0.colum'; did you mean 'column'"),
        ("texts=[stories, {source: other, domain: stories}]", "name the domain 'stories' twice"),
        ("transfer=stories", "name the domain 'stories' twice"),
        ("texts=[]", "--set texts=[]: must be a list of at least 1; got []"),
        ("texts_by=word", "must be 'blank_line' or 'line'; got 'word'"),
        ("seed", "--set wants key=value"),
        ("seed=seven", "--set seed=seven: must be a whole number, 0 or more; got 'seven'"),
        ("splits=5", "--set splits=5: must be a section with keys of fit, held_out, test; got 5"),
        ("model=7", "--set model=7: must be text; got 7"),
        ("temperature=1", "unknown key 'temperature'; did you mean 'llm.models.0.temperature'?"),
        ("max_programs=9", "unknown key 'max_programs'; did you mean 'stop.max_programs'?"),
        ("colour=red", "unknown key 'colour'; known: model, "),
        ("model.a=1", "model is not a section"),
    ],
)
def test_what_is_wrong_is_named_with_what_would_be_right(config_file, override, message):
    with pytest.raises(UserError) as caught:
        load_config(str(config_file), [override])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_mistake_is_looked_for_where_it_was_made(config_file):
    config_file.write_text(GOOD + "splits: {fit: few}\nllm: {models: [{model: a}]}\n")
    with pytest.raises(UserError) as caught:
        load_config(str(config_file), ["seed=x", "llm.models.0.temperature=hot"])
    in_the_file, _, by_options = str(caught.value).partition("; --set ")
    assert in_the_file == f"{config_file}: splits.fit: must be a whole number, 1 or more; got 'few'"
    assert "config" not in by_options
    assert "llm.models.0.temperature=hot: must be a number, 0 or more; got 'hot'" in by_options
    with pytest.raises(UserError, match=r"^preset quickstart with --set operators=\{mutate: 1\}: operator 'mutate'"):
        load_config("quickstart", ["operators={mutate: 1}"])


def test_an_entry_of_a_list_is_set_by_its_number(config_file):
    config_file.write_text(GOOD + "llm: {models: [{model: a}, {model: b}]}\n")
    models = load_config(str(config_file), ["llm.models.1.temperature=0.5"]).llm.models
    assert [model.temperature for model in models] == [None, 0.5]
    with pytest.raises(UserError, match="'2' is no entry of a list; entries are counted from 0, known: 0 to 1"):
        load_config(str(config_file), ["llm.models.2.temperature=0.5"])


def test_every_key_says_what_it_means_and_what_it_takes():
    for place in all_places():
        assert meaning(place), place
        assert wanted(place) != "another value", place
    assert meaning(("splits", "fit")) == "what operators see."
    assert (wanted(("splits", "fit")), default_of(("splits", "fit"))) == ("a whole number, 1 or more", "24")


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


def test_replies_of_services_may_be_longer_than_those_of_this_network():
    models = (
        "llm.models=[{model: a}, {model: b, base_url: http://127.0.0.1:1/v1}, {model: c, base_url: http://gpu:1/v1}, "
    )
    models += "{model: d, base_url: https://host.example/v1}, {model: e, max_tokens: 9}]"
    config = load_config("quickstart", [models])
    assert [model.max_tokens for model in config.llm.models] == [8000, 1500, 1500, 8000, 9]


@pytest.mark.parametrize(
    ("setting", "expected"),
    [("", "offline"), ("llm.budget.when_spent=stop", "stop"), ("operators={fresh: 1, residual: 0}", "stop")],
)
def test_a_spent_budget_leaves_offline_operators_at_work_where_there_are_some(setting, expected):
    settings = ["llm.models=[{model: m}]", "operators={fresh: 1, residual: 1}", *filter(None, [setting])]
    assert load_config("quickstart", settings).when_spent == expected


def test_nothing_goes_on_offline_without_an_offline_operator():
    settings = ["llm.models=[{model: m}]", "operators={fresh: 1}", "llm.budget.when_spent=offline"]
    with pytest.raises(UserError, match="when_spent: offline wants an offline operator"):
        load_config("quickstart", settings)


def test_prices_come_from_a_file_and_stay_with_the_run(tmp_path):
    prices = tmp_path / "prices.yaml"
    prices.write_text("a: {input: 1, output: 2, cached_input: 0.5}\nb: {input: 9}\n")
    models = "llm.models=[{model: a}, {model: b, price_per_million: {input: 3}}, {model: c}]"
    config = load_config("quickstart", [models, f"llm.prices={prices}"])
    found = [model.price_per_million for model in config.llm.models]
    assert (found[0].cached_input, found[1].input, found[2]) == (0.5, 3, None)
    prices.unlink()
    assert parse_config(config.model_dump(mode="json"), "run") == config


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read prices"),
        ("a: {inptu: 1}", "a.inptu"),
        ("a: 3", "a line is MODEL"),
        ("a: {input: [", "prices"),
    ],
)
def test_a_file_of_prices_that_is_none_is_named(tmp_path, content, message):
    prices = tmp_path / "prices.yaml"
    if content is not None:
        prices.write_text(content)
    with pytest.raises(UserError, match=message):
        load_config("quickstart", ["llm.models=[{model: a}]", f"llm.prices={prices}"])


def test_dollars_have_no_budget_where_no_price_is_known():
    with pytest.raises(UserError, match="no price of 'm' is known"):
        load_config("quickstart", ["llm.budget.usd=1"], llm_model="m")
    load_config("quickstart", ["llm.budget.usd=1"], llm_model="m", llm_url="http://localhost:1/v1")


def test_one_option_lets_a_model_propose_beside_the_offline_operators(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    plain = load_config("quickstart")
    config = load_config("quickstart", llm_model="m", llm_url="http://localhost:11434/v1")
    assert plain.operators.items() < config.operators.items()
    assert config.operators["mutate"] == 2
    (model,) = config.llm.models
    assert (model.model, model.base_url, model.api_key_env) == ("m", "http://localhost:11434/v1", None)
    replaced = load_config("tinyllama", llm_model="m", llm_url="https://openrouter.ai/api/v1/")
    assert replaced.operators == load_config("tinyllama").operators
    assert [model.api_key_env for model in replaced.llm.models] == ["OPENROUTER_API_KEY"]
    assert load_config("quickstart", llm_model="m").llm.models[0].api_key_env == "OPENAI_API_KEY"
    elsewhere = {"llm_model": "m", "llm_url": "https://host.example/v1"}
    assert load_config("quickstart", **elsewhere).llm.models[0].api_key_env is None
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    assert load_config("quickstart", **elsewhere).llm.models[0].api_key_env == "OPENAI_API_KEY"


def test_an_endpoint_without_a_model_is_refused():
    with pytest.raises(UserError, match="add --llm-model NAME"):
        load_config("quickstart", llm_url="http://localhost:1/v1")
