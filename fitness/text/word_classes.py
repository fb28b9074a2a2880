"""Closed classes of English words, and the marks that structure texts and code."""

import string

FUNCTION_WORDS = frozenset(
    "a an the and or but so if then than that this these those of in on at to for from by with about into over under "
    "up down out off as is are was were be been am do does did have has had will would can could may might must not "
    "no nor i you he she it we they me him her us them my your his its our their who what which when where why how "
    "there here".split()
)
ARTICLES = frozenset("a an the".split())
PREPOSITIONS = frozenset(
    "of in on at to for from by with about into over under up down out off through around near after before".split()
)
CONJUNCTIONS = frozenset("and but or so then if because when while as".split())
AUXILIARIES = frozenset(
    "is are was were be been am do does did have has had will would can could may might must".split()
)
PRONOUNS = frozenset("i you he she it we they me him her us them my your his its our their mine yours hers".split())
SENTENCE_ENDS = frozenset(".!?")
OPENING, CLOSING = "([{", ")]}"
OPERATOR_SIGNS = frozenset("=+-*/<>%&|^~@!")
MARKS = frozenset(string.punctuation) | set("…“”‘’—–")
