"""Where untrusted models run: scanning model files before anything reads them as a program, and the confined process that loads and asks them.

What a format comes down to belongs in subjects/, measuring the answers in assessments/."""
