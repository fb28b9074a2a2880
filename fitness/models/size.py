"""How large a model is, known before its weights are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fitness.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

MEMINFO = "/proc/meminfo"


def parameter_count(config: PreTrainedConfig, family: Any) -> int:
    """Number of weights of a model, from its configuration alone.

    Args:
        config: the configuration.
        family: the Auto class that the model is loaded with.
    """
    import torch

    with torch.device("meta"):
        return int(family.from_config(config).num_parameters())


def check_fits(weights: int, bytes_each: int, device: str, name: str) -> None:
    """Refuses a model whose weights alone are larger than the memory that is free.

    Raises:
        UserError: with what would fit.
    """
    needed, free = weights * bytes_each, free_bytes(device)
    if free is not None and needed > free:
        raise UserError(
            f"model: {name} has {weights / 1e9:.1f} billion weights of {bytes_each} bytes, {needed / 1e9:.1f} GB, and "
            f"{free / 1e9:.1f} GB are free on the {device}; set dtype to bfloat16, or device_map to auto, which "
            "spreads the model over devices, memory and disk"
        )


def free_bytes(device: str) -> int | None:
    """Free memory of a device, or None where the system does not say."""
    import torch

    if device == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    try:
        with open(MEMINFO, encoding="ascii") as lines:  # noqa: PTH123
            found = next(line for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return None
    return int(found.split()[1]) * 1024
