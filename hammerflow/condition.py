"""Condition (stand-in)."""


class Condition:
    def __init__(self, source, deps):
        self.source = source
        self.deps = list(deps)

    def evaluate(self, results):
        env = {}
        for v in results.values():
            if isinstance(v, dict):
                env.update(v)
        env.update({k: v for k, v in results.items()})
        return bool(eval(self.source, {"__builtins__": {}}, env))


def compile_condition(source, deps):
    return Condition(source, deps)
