"""Studies of replacement: what `headscribe replace` and `headscribe tasks` measure, stage by stage."""
