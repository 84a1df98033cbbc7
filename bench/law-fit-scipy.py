"""The published fit with scipy: 300 starts of L-BFGS-B with forward differences. Reads points as JSON, prints JSON.

Follows fixtures/law/scaling-law.json, `procedure`. Called by law-fit.ts.
"""
import itertools
import json
import sys
import time

import numpy as np
import scipy
from scipy.optimize import minimize

points = json.load(sys.stdin)
n = np.array([point["N"] for point in points], dtype=float)
p = np.array([point["P"] for point in points], dtype=float)
loss = np.array([point["loss"] for point in points])
delta, lower = 1e-3, 1e-8


def objective(theta):
    e, a, alpha, k = theta
    predicted = e + (a * 1e9 / (n * (k * np.log(p) + 1))) ** alpha
    residual = np.abs(np.log(loss) - np.log(predicted))
    return np.where(residual <= delta, residual**2 / 2, delta * (residual - delta / 2)).sum()


grid = itertools.product(np.exp([-1, -0.5, 0]), np.exp([-4, -2, 0, 2, 4]), [0, 0.5, 1, 1.5, 2], [0.2, 0.4, 0.6, 0.8])
begin = time.perf_counter()
ends = [minimize(objective, np.maximum(start, lower), method="L-BFGS-B", bounds=[(lower, None)] * 4) for start in grid]
seconds = time.perf_counter() - begin
print(json.dumps({"seconds": seconds, "objective": min(end.fun for end in ends), "version": scipy.__version__}))
