"""What is measured besides the comparison. Each takes the bench and returns a list of findings."""


def chosen(names):
    known = {}
    if names == "none":
        return []
    return list(known.values()) if names == "all" else [known[n] for n in names.split(",")]
