"""Makes stats.json: what the reference implementations say of small sets.

    python -m venv venv && venv/bin/pip install scipy==1.17.1 numpy==2.4.6 statsmodels==0.15.0 bjontegaard==1.3.0
    venv/bin/python stats.py > stats.json

The sets are drawn here from a fixed seed and written beside the answers. Resamples
are made literally, sample by sample, with the raw output of NumPy's PCG64 in the
state that the library's documentation states.
"""

import json
import sys
import warnings

import bjontegaard
import numpy as np
import scipy
import statsmodels
from scipy import stats
from scipy.interpolate import Akima1DInterpolator, PchipInterpolator
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.weightstats import DescrStatsW

draw = np.random.Generator(np.random.PCG64(20250101))
INCREMENT = 0x0A02BDBF7BB3C0A7AC28FA16A64ABF96 << 1 | 1
MULTIPLIER = 0x2360ED051FC65DA44385DF649FCCF645


def generator(seed):
    """PCG XSL RR 128/64 with the seed as state, as in O'Neill's pcg64(seed, stream)."""
    bits = np.random.PCG64()
    state = ((seed + INCREMENT) * MULTIPLIER + INCREMENT) % 2**128
    bits.state = {"bit_generator": "PCG64", "state": {"state": state, "inc": INCREMENT},
                  "has_uint32": 0, "uinteger": 0}
    return bits


def bootstrap(seed, resamples, clusters, statistic):
    """Percentile interval of statistic(indices of samples)."""
    bits = generator(seed)
    members = [[i for i, c in enumerate(clusters) if c == name] for name in dict.fromkeys(clusters)]
    values = []
    for _ in range(resamples):
        drawn = [int(bits.random_raw()) * len(members) >> 64 for _ in members]
        value = statistic(np.array([i for cluster in drawn for i in members[cluster]]))
        if not np.isnan(value):
            values.append(value)
    assert len(values) >= 0.95 * resamples
    return [float(end) for end in np.percentile(values, [2.5, 97.5])]


def bootstraps():
    bits, pixels = draw.integers(500, 90000, 45), draw.integers(10000, 60000, 45)
    for clusters in [list(range(45)), [int(c) for c in draw.integers(0, 12, 45)]]:
        yield {"amount": bits.tolist(), "per": pixels.tolist(), "clusters": clusters, "seed": 42, "resamples": 1000,
               "estimate": bits.sum() / pixels.sum(),
               "interval": bootstrap(42, 1000, clusters, lambda i: bits[i].sum() / pixels[i].sum())}


def paired():
    for both, b, c, neither in [(50, 9, 2, 39), (0, 1, 0, 0), (12, 0, 0, 3), (40, 7, 7, 10), (0, 0, 6, 0),
                                (700, 121, 94, 85), (9000, 412, 688, 1900), (10**6, 250000, 251234, 10**6),
                                (5, 3000, 2000, 1)]:
        n = b + c
        exact = mcnemar([[both, b], [c, neither]], exact=True).pvalue
        augmented = DescrStatsW([0.0, 1.0, -1.0], weights=[both + neither + 1, b + 0.5, c + 0.5])
        half = stats.norm.ppf(0.975) * np.sqrt(augmented.var / augmented.sum_weights)
        low, high = augmented.mean - half, augmented.mean + half
        yield {"both": both, "b": b, "c": c, "neither": neither, "p": exact,
               "mid_p": float(2 * stats.binom.cdf(min(b, c), n, 0.5) - stats.binom.pmf(min(b, c), n, 0.5)),
               "low": max(low, -1.0), "high": min(high, 1.0)}


def correlations():
    quality = np.round(draw.normal(33, 4, 60), 1)
    score = np.clip(np.round((quality - 20) / 25 + draw.normal(0, 0.15, 60), 1), 0, 1)
    right = (draw.random(60) < score).astype(float)
    for x, y in [(quality, score), (quality, right), (score, -quality), (draw.normal(size=8), draw.normal(size=8)),
                 (np.array([1.0, 2.0]), np.array([3.0, 1.0]))]:
        answer = {"x": x.tolist(), "y": y.tolist(), "spearman": stats.spearmanr(x, y).statistic,
                  "kendall": stats.kendalltau(x, y, variant="b").statistic}
        if len(x) == 60:
            for name in ["spearman", "kendall"]:
                of = {"spearman": stats.spearmanr, "kendall": stats.kendalltau}[name]
                answer[name + "_interval"] = bootstrap(7, 300, range(60), lambda i: of(x[i], y[i]).statistic)
        yield {key: value if isinstance(value, list) else float(value) for key, value in answer.items()}


def aucs():
    positive = draw.random(70) < 0.3
    score = np.round(draw.normal(0, 1, 70) + positive, 1)
    clusters = [int(c) for c in draw.integers(0, 25, 70)]

    def area(i):
        a, b = score[i][positive[i]], score[i][~positive[i]]
        if len(a) == 0 or len(b) == 0:
            return np.nan
        return float(stats.mannwhitneyu(a, b).statistic / len(a) / len(b))

    yield {"score": score.tolist(), "positive": positive.tolist(), "clusters": clusters,
           "auc": area(np.arange(70)), "interval": bootstrap(3, 500, clusters, area)}


def delta(interpolator, x_anchor, y_anchor, x_test, y_test):
    low, high = max(x_anchor[0], x_test[0]), min(x_anchor[-1], x_test[-1])
    area = [interpolator(x, y).integrate(low, high) for x, y in [(x_anchor, y_anchor), (x_test, y_test)]]
    return float((area[1] - area[0]) / (high - low))


def curves():
    def one(points, rate, quality):
        return (rate * np.cumprod(1 + draw.uniform(0.2, 1.2, points)), quality + np.cumsum(draw.uniform(0.3, 4, points)))

    bow = lambda rates, a, b: (np.array(rates), a + b * np.log(np.array(rates) / rates[0]))
    sets = [(bow([0.1, 0.25, 0.5, 1.0], 28.0, 3.5), bow([0.08, 0.2, 0.45, 0.9], 28.4, 3.6)),
            (bow([0.1, 0.2, 0.4, 0.8, 1.6], 0.42, 0.11), bow([0.3, 0.4, 0.5, 0.9], 0.5, 0.1)),
            # Straight runs and a sharp turn, where Akima's weights are undecided.
            ((10.0 ** np.arange(6), np.array([30.0, 31, 32, 33, 40, 41])),
             (10.0 ** (np.arange(6) + 0.3), np.array([30.0, 31, 32, 33, 34, 35])))]
    sets += [(one(int(draw.integers(4, 9)), 0.05, 27), one(int(draw.integers(4, 9)), 0.07, 28)) for _ in range(6)]
    for (ra, qa), (rt, qt) in sets:
        answer = {"anchor": np.stack([ra, qa], 1).tolist(), "test": np.stack([rt, qt], 1).tolist()}
        la, lt = np.log10(ra), np.log10(rt)
        for name, interpolator in [("pchip", PchipInterpolator), ("akima", Akima1DInterpolator)]:
            answer[name + "_rate"] = delta(interpolator, qa, la, qt, lt)
            answer[name + "_quality"] = delta(interpolator, la, qa, lt, qt)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of small overlap
                answer[name + "_percent"] = float(bjontegaard.bd_rate(
                    ra, qa, rt, qt, name, require_matching_points=False, min_overlap=0))
        yield answer


def equal_qualities():
    def log_rate(points, quality):
        best = max(points, key=lambda point: (point[1], -point[0]))
        cheapest = min(points, key=lambda point: (point[0], -point[1]))
        if quality > best[1]:
            return np.inf
        if quality < cheapest[1]:
            return -np.inf
        # The least rate of any mixture of two points that has the quality.
        mixtures = [a[0] + (b[0] - a[0]) * (quality - a[1]) / (b[1] - a[1])
                    for a in points for b in points if a[1] <= quality <= b[1] and a[1] < b[1]]
        return np.log10(min([rate for rate, q in points if q >= quality] + mixtures))

    samples = 50
    pixels = draw.integers(20000, 60000, samples)
    hard = draw.random(samples)

    def sweep(cost):
        return [(np.round(pixels * rate * cost * draw.uniform(0.6, 1.6, samples)),
                 (draw.random(samples) < 1 / (1 + np.exp(6 * (hard - 0.6 - np.log(rate) / 4)))).astype(float))
                for rate in [0.1, 0.2, 0.4, 0.8, 1.6, 1.7]]

    def points(settings, i):
        return [(bits[i].sum() / pixels[i].sum(), quality[i].mean()) for bits, quality in settings]

    first, second = sweep(1.0), sweep(1.4)
    everything = np.arange(samples)
    for quality in [0.5, 0.6]:
        at = lambda settings, i: log_rate(points(settings, i), quality)
        yield {"pixels": pixels.tolist(), "quality": quality,
               "first": [[bits.tolist(), right.tolist()] for bits, right in first],
               "second": [[bits.tolist(), right.tolist()] for bits, right in second],
               "rate": float(10 ** at(first, everything)),
               "rate_interval": [10**end for end in bootstrap(9, 500, range(samples), lambda i: at(first, i))],
               "ratio": float(10 ** (at(first, everything) - at(second, everything))),
               "ratio_interval": [10**end for end in bootstrap(
                   9, 500, range(samples), lambda i: at(first, i) - at(second, i))]}


json.dump({
    "made_with": f"scipy {scipy.__version__}, numpy {np.__version__}, statsmodels {statsmodels.__version__}, "
                 f"bjontegaard {bjontegaard.__version__}",
    "bootstrap": list(bootstraps()), "paired": list(paired()), "correlation": list(correlations()),
    "auc": list(aucs()), "bd": list(curves()), "equal_quality": list(equal_qualities()),
}, sys.stdout, separators=(",", ":"))
print()
