"""Prompt templates: files in `configs/prompts`, which those of the same name in a user's directory replace.

A template is Markdown with Jinja2 placeholders. Lines `<!-- system -->` and `<!-- user -->` begin messages; they are
found before anything is filled in, so that no program, token or error message can begin one. Files whose names begin
with an underscore are parts for others to include. `mutate.md` is the template of the operator `mutate`, and
`mutate.short.md` a second one of the same operator.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

import configs
from fitness.errors import UserError, nearest
from fitness.text.view import fields
from operators.llm.client.calls import Message

SUFFIX = ".md"
BUILT_IN = Path(configs.__file__).parent / "prompts"
# Known to every template, whatever its operator.
SHARED = frozenset({"vocabulary", "brief_vocabulary", "as_json"})
# Parts of what prompts say of a head that can be left out, to see what they are worth: placeholder -> its empty value.
LEFT_OUT: Mapping[str, Any] = {
    "profile": (),
    "examples": (),
    "wrong": (),
    "losses": (),
    "right": None,
    "leads": (),
    "common_errors": (),
}

_ROLE = re.compile(r"^<!-- *(system|user|assistant) *-->[ \t]*$", re.MULTILINE)


class Templates:
    """All templates, read once: a file that is edited while a campaign runs does not change it.

    Args:
        directory: the user's own templates, or one of the sets that come with headscribe by its name; or None.
        leave_out: placeholders of `LEFT_OUT` that stay empty.

    Raises:
        UserError: for a directory or file that cannot be read, or a template that does not parse.
    """

    def __init__(self, directory: Path | None = None, leave_out: Sequence[str] = ()) -> None:
        self._left_out = {name: LEFT_OUT[name] for name in leave_out}
        self._sources = _read_all(BUILT_IN)
        self._places = dict.fromkeys(self._sources, BUILT_IN)
        if directory is not None:
            directory = found_set(directory)
            own = _read_all(directory)
            self._sources |= own
            self._places |= dict.fromkeys(own, directory)
        self._environment = ImmutableSandboxedEnvironment(
            loader=jinja2.DictLoader(self._sources),
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            autoescape=False,
        )
        self._environment.filters["fenced"] = fenced
        self._parts = {name: _messages(source) for name, source in self._sources.items()}
        self._compiled: dict[str, list[tuple[str, jinja2.Template]]] = {}
        self._hashes: dict[str, str] = {}
        self._shared = {"vocabulary": vocabulary(), "brief_vocabulary": brief_vocabulary()}

    def names(self, operator: str) -> list[str]:
        """Templates of an operator, without suffix: its own first, then others such as `mutate.short`."""
        stems = sorted(name.removesuffix(SUFFIX) for name in self._sources)
        return [stem for stem in stems if stem == operator or stem.startswith(f"{operator}.")]

    def hash(self, name: str) -> str:
        """First 16 hexadecimal digits of a SHA-256 over a template, all that it includes, and what it leaves out."""
        if name not in self._hashes:
            digest, parts = hashlib.sha256(), self._with_parts(name + SUFFIX)
            for part in parts:
                digest.update(f"{part}\0{self._sources[part]}\0".encode())
            used = {key for part in parts for key in meta.find_undeclared_variables(self._parse(part))}
            for left_out in sorted(used & self._left_out.keys()):
                digest.update(f"without {left_out}\0".encode())
            self._hashes[name] = digest.hexdigest()[:16]
        return self._hashes[name]

    def render(self, name: str, values: Mapping[str, Any], *, as_json: bool = False) -> list[Message]:
        """The messages of a template; `as_json` where the endpoint holds the model to a JSON object.

        Raises:
            UserError: for a placeholder without a value, or an error in the template, with file and line.
        """
        values = {**values, **{key: empty for key, empty in self._left_out.items() if key in values}}
        try:
            filled = [
                {"role": role, "content": _tidy(template.render(values, **self._shared, as_json=as_json))}
                for role, template in self._templates(name)
            ]
        except jinja2.TemplateError as error:
            raise UserError(f"{self._place(name)}: {_explain(error)}") from None
        except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            raise UserError(f"{self._place(name)}: {type(error).__name__}: {error}") from None
        return [message for message in filled if message["content"]]

    def check(self, operator: str, examples: Iterable[Mapping[str, Any]]) -> None:
        """Fills every template of an operator with examples of its values, so that mistakes cost nothing.

        Args:
            operator: whose templates to check.
            examples: values of every kind that the operator gives; their keys are its placeholders.

        Raises:
            UserError: for an unknown placeholder, with the nearest right one, and for all that `render` raises.
        """
        examples = list(examples)
        known = SHARED | {key for example in examples for key in example}
        for name in self.names(operator):
            for part in self._with_parts(name + SUFFIX):
                for unknown in sorted(meta.find_undeclared_variables(self._parse(part)) - known):
                    hint = nearest(unknown, sorted(known))
                    raise UserError(f"{self._places[part] / part}: unknown placeholder {unknown!r}{hint}")
            if all(role != "user" for role, _ in self._parts[name + SUFFIX]):
                raise UserError(f"{self._place(name)}: has no user message; begin one with a line <!-- user -->")
            for example in examples:
                self.render(name, example)

    def check_files(self, operators: Iterable[str]) -> None:
        """Refuses files that no operator would ever use.

        Raises:
            UserError: naming the file and the nearest right name.
        """
        operators = list(operators)
        for name, place in sorted(self._places.items()):
            operator = name.split(".")[0]
            if not name.startswith("_") and operator not in operators:
                hint = nearest(operator + SUFFIX, [known + SUFFIX for known in operators])
                raise UserError(f"{place / name}: is the template of no operator{hint}")

    def _templates(self, name: str) -> list[tuple[str, jinja2.Template]]:
        if name not in self._compiled:
            file = name + SUFFIX
            if file not in self._parts:
                raise jinja2.TemplateNotFound(file)
            parts = self._parts[file]
            self._compiled[name] = [(role, self._environment.from_string(source)) for role, source in parts]
        return self._compiled[name]

    def _parse(self, file: str) -> Any:
        try:
            return self._environment.parse(self._sources[file])
        except jinja2.TemplateSyntaxError as error:
            raise UserError(f"{self._places[file] / file}: {_explain(error)}") from None

    def _with_parts(self, file: str) -> list[str]:
        """A file and all that it includes, once each, in the order of their first mention."""
        found: list[str] = []
        waiting = [file]
        while waiting:
            current = waiting.pop(0)
            if current in found:
                continue
            if current not in self._sources:
                raise UserError(f"{self._places.get(file, BUILT_IN) / file}: there is no template {current!r}")
            found.append(current)
            for part in meta.find_referenced_templates(self._parse(current)):
                if part is None:
                    raise UserError(f"{self._places[current] / current}: include files by a fixed name")
                waiting.append(part)
        return found

    def _place(self, name: str) -> Path:
        return self._places.get(name + SUFFIX, BUILT_IN) / (name + SUFFIX)


def found_set(directory: Path) -> Path:
    """A directory of templates: the user's own, or a set that comes with headscribe, by its name."""
    bundled = BUILT_IN / directory
    return bundled if not directory.is_dir() and bundled.is_dir() else directory


def vocabulary() -> str:
    """What programs can read from a text, one line per field, from the docstrings of `Text`."""
    lines = [
        "text.tokens: tuple of n strings as the model sees them, a leading space kept",
        "text.n: number of tokens",
        "text.string: the text itself",
    ]
    lines += [f"text.{field.name}: {field.shape} {field.kind}. {field.doc}" for field in fields()]
    return "\n".join(f"- {line}" for line in lines)


def brief_vocabulary() -> str:
    """The same in few words: fields of pairs with what makes them true, fields of tokens by their names."""
    lines = ["`text.NAME`; an (n,) array describes the key, and as `text.is_comma[:, None]` the query."]
    for words, kinds in (("bool", ("bool",)), ("number", ("int", "float"))):
        pairs = [field for field in fields() if field.kind in kinds and field.shape == "(n, n)"]
        tokens = [f"`{field.name}`" for field in fields() if field.kind in kinds and field.shape == "(n,)"]
        lines.append(
            f"(n, n) {words}, query and key: " + "; ".join(f"`{each.name}` {_gist(each.doc)}" for each in pairs)
        )
        lines.append(f"(n,) {words}: {', '.join(tokens)}")
    lines.append("`tokens` (n strings, a leading space kept), `n`")
    return "\n".join(f"- {line}" for line in lines)


def _gist(doc: str) -> str:
    """The first clause of a docstring, without what all have in common."""
    clause = re.split(r"[;:.,]", doc.removeprefix("Query and key "))[0]
    return clause[:1].lower() + clause[1:]


def fenced(source: str) -> str:
    """Source text between fences that it cannot close itself."""
    longest = max((len(run) for run in re.findall(r"`+", source)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}python\n{source.strip()}\n{fence}"


def _read_all(directory: Path) -> dict[str, str]:
    if not directory.is_dir():
        raise UserError(f"llm.prompts: {directory} is not a directory")
    sources = {}
    for path in sorted(directory.glob(f"*{SUFFIX}")):
        try:
            sources[path.name] = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"cannot read the template {path}: {error}") from None
    return sources


def _messages(source: str) -> list[tuple[str, str]]:
    """(role, text) of each message; what stands before the first marker is the user's."""
    found, role, begin = [], "user", 0
    for marker in [*_ROLE.finditer(source), None]:
        text = source[begin : marker.start() if marker else len(source)]
        if text.strip():
            # Leading empty lines keep the numbers of lines right in error messages.
            found.append((role, "\n" * source.count("\n", 0, begin) + text))
        if marker:
            role, begin = marker[1], marker.end()
    return found


def _tidy(text: str) -> str:
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def _explain(error: jinja2.TemplateError) -> str:
    if isinstance(error, jinja2.TemplateSyntaxError):
        return f"line {error.lineno}: {error.message}"
    if isinstance(error, jinja2.TemplateNotFound):
        return f"there is no template {error.name!r}"
    return str(error.message or error)
