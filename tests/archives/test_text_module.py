"""The file that makes a library usable without headscribe."""

import ast
import importlib.util
import sys

import numpy as np
import pytest

from archives import text_module
from fitness.text.view import Text, fields

TOKENS = [
    "<|begin|>",
    "def",
    " f",
    "(",
    "x",
    "):",
    "\n",
    " return",
    " x",
    " +",
    " 1",
    "\n",
    "Tom",
    " said",
    ' "',
    "No",
    '."',
]


@pytest.fixture(scope="module")
def written_module(tmp_path_factory):
    path = tmp_path_factory.mktemp("module") / text_module.FILE
    path.write_text(text_module.text_module(), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("headscribe_text", path)
    module = sys.modules["headscribe_text"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["headscribe_text"]


def test_every_field_is_there_and_says_the_same(written_module):
    own, written = Text(TOKENS), written_module.Text(TOKENS)
    for entry in fields():
        np.testing.assert_array_equal(getattr(written, entry.name), getattr(own, entry.name), err_msg=entry.name)
    assert written.tokenizer.tokenize(written.string) == own.tokenizer.tokenize(own.string)


def test_it_imports_the_standard_library_and_numpy_alone():
    tree = ast.parse(text_module.text_module())
    found = {n.module if isinstance(n, ast.ImportFrom) else n.names[0].name for n in ast.walk(tree) if is_import(n)}
    assert {name.split(".")[0] for name in found} <= {*sys.stdlib_module_names, "numpy"}


def is_import(node):
    return isinstance(node, (ast.Import, ast.ImportFrom))


def test_two_modules_that_define_one_name_are_not_joined(monkeypatch):
    monkeypatch.setattr(text_module, "MODULES", ("fitness.text.field", "fitness.text.field"))
    with pytest.raises(ValueError, match="a second time"):
        text_module.text_module()
