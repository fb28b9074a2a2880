"""What a campaign is asked to do: the configuration's schema, read and validated once."""

from evolve.config.reading import PRESETS, find_config, load_config, parse_config, read_settings
from evolve.config.schema import Config, Stop

__all__ = ["PRESETS", "Config", "Stop", "find_config", "load_config", "parse_config", "read_settings"]
