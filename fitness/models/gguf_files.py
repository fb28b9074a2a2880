"""GGUF files as transformers loads them: parsed once and silently, and what type their weights have."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from fitness.models.source import ModelSource


@contextlib.contextmanager
def parsed_once(source: ModelSource) -> Iterator[None]:
    """Within the context a GGUF file is parsed once.

    transformers parses it for the configuration, the tokenizer and the weights each, which takes ten seconds where the
    vocabulary is large, and draws a bar that no setting of it turns off.
    """
    if source.gguf is None:
        yield
        return
    import gguf
    from transformers import modeling_gguf_pytorch_utils as utils

    reader, bar = gguf.GGUFReader, utils.tqdm
    parsed: dict[str, Any] = {}

    def parse(path: Any, *arguments: Any, **options: Any) -> Any:
        if str(path) not in parsed:
            parsed[str(path)] = reader(path, *arguments, **options)
        return parsed[str(path)]

    replaced = ((gguf, "GGUFReader", parse, reader), (utils, "tqdm", lambda steps, **_: steps, bar))
    for module, name, ours, _ in replaced:
        setattr(module, name, ours)
    try:
        yield
    finally:
        for module, name, _, theirs in replaced:
            setattr(module, name, theirs)


def gguf_quantisation(source: ModelSource) -> str | None:
    """How a GGUF file's weights are quantised, such as `GGUF Q4_1`; None where they are not."""
    import gguf
    from transformers.utils import cached_file

    options = {name: value for name, value in source.options.items() if name != "gguf_file"}
    fields = gguf.GGUFReader(cached_file(source.path, source.gguf, **options)).fields
    known = int(fields["general.file_type"].contents()) if "general.file_type" in fields else -1
    names = {kind.value: kind.name.removeprefix("MOSTLY_").removeprefix("ALL_") for kind in gguf.LlamaFileType}
    kind = names.get(known, "of unknown type")
    return None if kind in ("F32", "F16", "BF16") else f"GGUF {kind}"
