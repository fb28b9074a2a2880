"""What the tests of campaigns share."""

from pathlib import Path

ROOT = Path(__file__).parents[2]

# A campaign of a few seconds on the bundled model and stories, which is not checked on texts of another kind.
SMALL = """
model: storyteller-gpt2
texts: stories
max_tokens: 24
splits: {fit: 4, held_out: 5, test: 5}
stop: {max_programs: 80}
search: {batch: 16}
parallel: {workers: 2}
transfer: []
"""
