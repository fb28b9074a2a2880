from dataclasses import dataclass
@dataclass(frozen=True)
class Arm:
    operator: str
    model: str | None = None
class _S:
    def __init__(self, config):
        self.names = [n for n, s in config.operators.items() if s > 0]
        total = sum(config.operators[n] for n in self.names)
        self.p = [config.operators[n] / total for n in self.names]
    def choose(self, rng, can_repair):
        return Arm(self.names[rng.choice(len(self.names), p=self.p)])
    def learn(self, proposal): pass
def make_scheduler(config): return _S(config)
