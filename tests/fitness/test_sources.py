import csv
import json
import sys
import types

import pytest

from fitness.errors import UserError
from fitness.text.sources import read_texts


def test_a_text_file_is_cut_at_blank_lines(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("One.\nStill one.\n\n  \nTwo.\n\nOne.\nStill one.\n")
    assert read_texts(str(path)) == ["One.\nStill one.", "Two."]


def test_a_json_file_is_a_list_of_strings(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(["One.", "Two.", " "]))
    assert read_texts(str(path)) == ["One.", "Two."]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "", "holds no text"),
        ("a.txt", " \n\n ", "holds no text"),
        ("a.json", "{", "is not JSON"),
        ("a.json", '{"a": 1}', "one JSON list of strings"),
        ("a.jsonl", '{"text": "One."}\n{"text": ', "line 2 of .*a.jsonl is not JSON"),
        ("a.jsonl", '{"story": "One.", "title": "Two."}', "has the columns story, title; name the text's as `column`"),
        ("a.jsonl", '{"text": 3}', "row 1 .* is not text but '3'"),
        ("a.parquet", "nonsense", "is not Parquet"),
    ],
)
def test_a_bad_corpus_is_named(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(UserError, match=message):
        read_texts(str(path))


@pytest.mark.parametrize("name", ["a.jsonl", "a.JSONL", "a.ndjson"])
def test_lines_of_json_are_a_text_each_whatever_the_name_says_of_it(tmp_path, name):
    path = tmp_path / name
    path.write_text('{"text": "One."}\n{"text": "Two."}\n')
    assert read_texts(str(path)) == ["One.", "Two."]


def test_a_missing_corpus_says_what_would_do(tmp_path):
    with pytest.raises(UserError, match=r"no file .*give a \.txt, \.json, \.jsonl, \.csv or \.parquet file"):
        read_texts(str(tmp_path / "none.txt"))


def test_the_bundled_stories_are_many_different_and_short():
    texts = read_texts("stories")
    assert len(texts) >= 120
    assert all(70 <= len(text.split()) <= 160 for text in texts)


ROWS = [{"story": "One.", "title": "First"}, {"story": "Two,\nover lines.", "title": "Second"}]


def write_rows(path):
    if path.suffix == ".json":
        path.write_text(json.dumps(ROWS))
    elif path.suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, ROWS)) + "\n\n")
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, ["story", "title"])
            writer.writeheader()
            writer.writerows(ROWS)
    else:
        pyarrow = pytest.importorskip("pyarrow", reason="the extra `tasks` is not installed")
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".csv", ".parquet"])
def test_a_column_of_rows_is_read(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write_rows(path)
    assert read_texts(str(path), column="story") == ["One.", "Two,\nover lines."]
    assert read_texts(str(path), column="story", rows=1) == ["One."]
    with pytest.raises(UserError, match="no column 'text' in row 1; it has story, title"):
        read_texts(str(path), column="text")


def test_lines_can_be_texts(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("One.\nTwo.\n\nThree.\n")
    assert read_texts(str(path), texts_by="line") == ["One.", "Two.", "Three."]
    with pytest.raises(UserError, match="has no columns"):
        read_texts(str(path), column="text")


def test_a_hub_data_set_is_asked_for_what_the_configuration_names(monkeypatch):
    asked = []

    class Rows:
        def take(self, rows):
            asked.append(rows)
            return [{"page": f"Page {i}."} for i in range(rows)]

    def load_dataset(*arguments, **options):
        asked.append((arguments, options))
        return Rows()

    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=load_dataset))
    texts = read_texts("owner/pages", config="en", split="validation", column="page", rows=3)
    assert texts == ["Page 0.", "Page 1.", "Page 2."]
    assert asked == [(("owner/pages", "en"), {"split": "validation", "streaming": True}), 3]


@pytest.mark.parametrize("domain", ["python-code", "python-docs"])
def test_the_standard_library_gives_the_same_different_texts_every_time(domain):
    texts = read_texts(domain)
    assert len(texts) >= 300
    assert len(set(texts)) == len(texts)
    assert texts == read_texts(domain)
    assert read_texts(domain, rows=5) == texts[:5]
    code = [text for text in texts if text.startswith(("def ", "async def ", "@"))]
    assert len(code) == (len(texts) if domain == "python-code" else 0)
    if domain == "python-code":
        for text in texts[:50]:
            compile(text, "text", "exec")
