"""The name generator behind `fastnn train` and `fastnn sample`: fastnn's own user of its tensor API.

Reading order: config.py (options), names.py (text to tensors), models.py (six models), checkpoint.py (what survives a
kill), trainer.py (the loop), sample.py (drawing names), plot.py. Nothing here is imported by `import fastnn`.
"""
