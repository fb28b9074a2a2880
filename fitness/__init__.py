"""How well does a program explain a head? Texts, attention, execution, scores and replacement."""
