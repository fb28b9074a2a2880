"""How are new programs proposed? One small file per operator, one protocol."""
