import subprocess
import sys

from campaigns import ROOT

from evolve.config import load_config
from operators.llm.prompt_check import check_prompts


def test_replacing_one_head_after_another_prints_a_line_for_each():
    script = ROOT / "examples" / "replace_heads.py"
    done = subprocess.run([sys.executable, script], cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    before, *after = [float(line.rpartition(": ")[2]) for line in done.stdout.splitlines()]
    assert len(after) == 8
    assert all(value != before for value in after)


def test_the_campaign_with_a_model_of_ones_own_is_valid_and_so_are_its_prompts():
    config = load_config(str(ROOT / "examples" / "local_llm.yaml"), [])
    assert config.llm.prompts is not None
    templates = check_prompts(ROOT / config.llm.prompts)
    assert templates.names("mutate") == ["mutate", "mutate.short"]
