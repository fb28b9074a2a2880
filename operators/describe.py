def described(tree): return None
