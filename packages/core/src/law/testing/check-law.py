"""Judges our fits with numpy and scipy: the laws written down once more, another optimiser, another bootstrap.

Reads {"fits": [{law, points, params, objective, r2, aic, bic, nested_objective?, p_value?, refits?}]} as JSON, prints one JSON list:
for each fit what scipy finds. Called by law.real.test.ts.
"""
import json
import sys

import numpy as np
from scipy.integrate import quad
from scipy.optimize import brentq, minimize, minimize_scalar
from scipy.stats import chi2

DELTA = 1e-3


def capacity(n, p, t):
    return (t["A"] / (n * (t["k"] * np.log(p) + 1))) ** t["alpha"]


def correlated(n, p, t):
    return (t["A"] / n) ** t["alpha"] * ((p - 1) * t["rho"] + 1) / p


def plain(n, p, t):
    return (t["A"] / n) ** t["alpha"]


def data(d, p, t):
    return (t["B"] / (d * (t.get("m", 0) * np.log(p) + 1))) ** t["beta"]


LAWS = {
    "log": (["E", "A", "alpha", "k"], lambda n, p, d, t: t["E"] + capacity(n, p, t)),
    "correlation": (["E", "A", "alpha", "rho"], lambda n, p, d, t: t["E"] + correlated(n, p, t)),
    "power": (["E", "A", "alpha"], lambda n, p, d, t: t["E"] + plain(n, p, t)),
    "joint-log": (["E", "A", "alpha", "k", "B", "beta"], lambda n, p, d, t: t["E"] + capacity(n, p, t) + data(d, p, t)),
    "joint-correlation": (
        ["E", "A", "alpha", "rho", "B", "beta"],
        lambda n, p, d, t: t["E"] + correlated(n, p, t) + data(d, p, t),
    ),
    "joint-log-data": (
        ["E", "A", "alpha", "k", "B", "beta", "m"],
        lambda n, p, d, t: t["E"] + capacity(n, p, t) + data(d, p, t),
    ),
    "chinchilla": (["E", "A", "alpha", "B", "beta"], lambda n, p, d, t: t["E"] + plain(n, p, t) + data(d, p, t)),
}


def huber(residual):
    size = np.abs(residual)
    return np.where(size <= DELTA, size**2 / 2, DELTA * (size - DELTA / 2))


def judge(fit):
    names, law = LAWS[fit["law"]]
    column = lambda key, default: np.array([point.get(key, default) for point in fit["points"]], dtype=float)
    n, p, d, loss, weight = column("N", 0), column("P", 0), column("D", 1), column("loss", 0), column("weight", 1)
    scales = np.array([fit["params"][name] for name in names])
    predict = lambda theta: law(n, p, d, dict(zip(names, theta)))
    objective = lambda theta, losses: float((weight * huber(np.log(losses) - np.log(predict(theta)))).sum())

    # Another optimiser, in units of our solution: a simplex from there, and from three places around it.
    def search(losses, begin, evaluations=20_000):
        inside = lambda x: objective(np.abs(x) * scales, losses) * 1e5 if "rho" not in names or x[3] * scales[3] <= 1 else np.inf
        options = {"xatol": 1e-12, "fatol": 1e-13, "maxfev": evaluations, "maxiter": evaluations, "adaptive": True}
        return minimize(inside, begin, method="Nelder-Mead", options=options)

    random = np.random.default_rng(7)
    starts = [np.ones(len(names))] + [random.uniform(0.8, 1.2, len(names)) for _ in range(3)]
    lowest = min(search(loss, start).fun for start in starts) / 1e5

    # The density whose maximum likelihood estimate the fit is: normalised by quadrature, its scale by another search.
    def minus_log_likelihood(value):
        def at(log_scale):
            scale = np.exp(log_scale)
            total = value / scale
            for w, count in zip(*np.unique(weight, return_counts=True)):
                density = lambda r: np.exp(-float(huber(r)) * w / scale)
                inner, _ = quad(density, 0, DELTA, epsabs=0, epsrel=1e-12)
                tail = scale / w / DELTA * np.exp(-w * DELTA**2 / 2 / scale)  # of a straight line's exponential
                total += count * np.log(2 * (inner + tail))
            return total

        centre = np.log(value / len(loss))
        return minimize_scalar(at, bounds=(centre - 6, centre + 6), method="bounded", options={"xatol": 1e-9}).fun

    parameters = len(names) + 1
    minus = minus_log_likelihood(fit["objective"])
    found = {
        "objective": objective(scales, loss),
        "lowest": lowest,
        "r2": float(1 - (weight * (loss - predict(scales)) ** 2).sum() / (weight * (loss - np.average(loss, weights=weight)) ** 2).sum()),
        "aic": 2 * parameters + 2 * minus,
        "bic": parameters * np.log(len(loss)) + 2 * minus,
    }
    if "nestedObjective" in fit:
        statistic = 2 * (minus_log_likelihood(fit["nestedObjective"]) - minus)
        found["pValue"] = float(chi2.sf(statistic, 1) / 2)
    if "question" in fit:
        at = lambda theta, q: float(law(q["N"], q["P"], q.get("D", 1), dict(zip(names, theta))))
        question = fit["question"]
        equal = brentq(lambda ln: at(scales, {**question, "N": np.exp(ln), "P": 1}) - at(scales, question), 10, 60, xtol=1e-14)
        found["loss"] = at(scales, question)
        found["equivalentParameters"] = float(np.exp(equal))
        # The bootstrap of bootstrap.ts once more: residuals centred, widened, smoothed, dealt out again.
        residuals = np.log(loss / predict(scales))
        residuals = (residuals - residuals.mean()) * np.sqrt(len(loss) / (len(loss) - len(names)))
        kernel = 1.06 * residuals.std() * len(loss) ** -0.2
        losses = []
        for _ in range(fit["refits"]):
            noise = random.choice(residuals, len(loss)) + kernel * random.standard_normal(len(loss))
            refit = search(predict(scales) * np.exp(noise), np.ones(len(names)), 3000)
            losses.append(at(np.abs(refit.x) * scales, question))
        found["lossDeviation"] = float(np.std(losses))
    return found


print(json.dumps([judge(fit) for fit in json.load(sys.stdin)["fits"]]))
