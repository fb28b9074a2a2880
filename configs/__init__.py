"""What is a campaign asked to do? Presets and prompt templates; no logic."""
