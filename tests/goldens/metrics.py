"""Writes metrics.json: what the reference implementations say of small texts.

Run by hand (pip install rouge_score scikit-learn):  python3 tests/goldens/metrics.py
 - stems:   NLTK's Porter stemmer as rouge_score calls it
 - rouge_l: rouge_score's rougeL F-measure with its stemmer, best of the references
 - drop:    the rules of the DROP script, restated here from their published description, with its
            published cases
 - macro_f1, micro_f1: scikit-learn's f1_score
 - evidence: the rules of the Qasper scorer, restated, on random questions
 - truth: TruthfulQA's MC1 and MC2, restated
 - perplexity: exp of the mean loss a token
 - exact, token_f1: restated (SQuAD's bag F1 without dropping articles)
"""
import json, math, os, random, re, string
from collections import Counter
from nltk.stem import porter
from rouge_score import rouge_scorer
from sklearn.metrics import f1_score

WORDS = """caresses ponies ties caress cats feed agreed plastered bled motoring sing conflated troubled
sized hopping tanned falling hissing fizzed failing filing happy sky relational conditional rational
valenci hesitanci digitizer conformabli radicalli differentli vileli analogousli vietnamization
predication operator feudalism decisiveness hopefulness callousness formaliti sensitiviti sensibiliti
triplicate formative formalize electriciti electrical hopeful goodness revival allowance inference
airliner gyroscopic adjustable defensible irritant replacement adjustment dependent adoption homologou
communism activate angulariti homologous effective bowdlerize probate rate cease controll roll dying
lying tying skies news innings outing cannings howe proceed exceed succeed died dies flies spied tried
enjoy enjoyment spy fly generously totally formally geology theologi archaeology philology yyyy syzygy
playing saying eying oed aed ing eed ied ies sses 1980s 4ed abcs university universal organization
fulfully hopefully really usefulli an eye ayes rhythms crying buying happily legally nationally""".split()

ROUGE = [
    (["The cat sat on the mat."], "the cats were sitting on mats"),
    (["police killed the gunman"], "police kill the gunman"),
    (["police killed the gunman"], "the gunman kill police"),
    (["", "a"], "a"), ([""], ""), (["..."], "..."), (["one"], ""),
    (["Naïve café, \u212aelvin!", "naive"], "Na\u00efve CAF\u00c9 kelvin"),
    (["\u0130stanbul"], "i stanbul"),
    (["to be or not to be, that is the question", "whether it is nobler"], "not to be: the Question is that"),
    (["A\tb\nc  d"], "a b c d"), (["3.14 and 2,000"], "3 14 2000 and"),
    (["running runner ran runs easily fairly"], "run running easy fair"),
]

def is_number(t):
    try:
        float(t)
        return True
    except ValueError:
        return False

def drop_norm(text):
    parts = []
    for tok in re.split(" |-", text.lower()):
        if not is_number(tok):
            tok = "".join(c for c in tok if c not in set(string.punctuation))
        if is_number(tok):
            tok = str(float(tok))
        tok = " ".join(re.sub(r"\b(a|an|the)\b", " ", tok).split())
        if tok.strip():
            parts.append(tok)
    return " ".join(parts)

def drop_f1(prediction, answer):
    pred, spans = set(drop_norm(prediction).split()), answer.split("\n")
    best = 0.0
    for s in spans:
        gold = set(drop_norm(s).split())
        nums = {w for w in gold if is_number(w)}
        if nums and not nums & {w for w in pred if is_number(w)}:
            continue
        hit = len(pred & gold)
        p = hit / len(pred) if pred else 1.0
        r = hit / len(gold) if gold else 1.0
        best = max(best, 2 * p * r / (p + r) if p + r else 0.0)
    import numpy as np
    return float(np.round(best / len(spans), 2))

DROP = [
    (["ottoman"], "Ottoman Empire"), (["6-yard"], "6 yard"), (["10"], "10.0"), (["10"], "$10"), (["1,000"], "1000"),
    (["three-1 yard"], "3 1 yard"), (["The Giants"], "giants"), (["an apple\npear"], "apple"),
    (["14 yards"], "15 yards"), (["14 yards"], "14.0 yards run"), (["yards"], "14 yards"), (["a"], "the"),
    (["1e3"], "1000"), (["1_000"], "1000"), (["nan"], "nan"), (["infinity"], "inf"), (["-5"], "5"), ([".5"], "0.5"), (["5."], "5"),
    (["3.14.15"], "31415"), (["O'Neil's team"], "oneils team"), (["x", "y z"], "y"), (["foo\nbar\nbaz"], "bar"),
    (["100000"], "100,000"), (["0.00001"], "1e-5"), (["123456789012345678"], "1.2345678901234568e17"),
    (["5\t6"], "5 6"), (["_a_ the-end"], "end"), (["caf\u00e9 a\u00e9 the"], "CAF\u00c9 A\u00c9"), (["12%"], "12"), (["e5"], "5"), (["+7"], "7"),
    (["1__0"], "10"), (["1_"], "1"), (["_1"], "1"), (["."], ""), (["1e"], "1"), (["1e+2"], "100"), (["a. an, the!"], "x"),
]

def norm(t):
    return "".join(c for c in t.lower() if c not in set(string.punctuation)).split()

def token_f1(p, a):
    p, a = norm(p), norm(a)
    if not p or not a:
        return float(p == a)
    hit = sum((Counter(p) & Counter(a)).values())
    return 2 * hit / len(p) * hit / len(a) / (hit / len(p) + hit / len(a)) if hit else 0.0

PLAIN = [
    (["Paris"], " paris. "), (["New  York"], "new\u00a0york"), (["it's"], "its"), (["the cat"], "cat"),
    (["a b a"], "a a c"), (["yes", "no"], "No!"), ([""], "?"), (["x"], ""), (["\u00c9COLE"], "\u00e9cole"),
    (["state-of-the-art"], "state of the art"), (["a\u2003b"], "a b"), (["\u00abquoted\u00bb"], "quoted"),
]

def macro():
    rng, out = random.Random(7), []
    for n, labels in [(1, 1), (2, 2), (10, 2), (40, 3), (25, 7)]:
        g = [rng.randrange(labels) for _ in range(n)]
        p = [rng.randrange(labels) for _ in range(n)]
        out.append({"gold": g, "predicted": p, "labels": labels + 1, "score": f1_score(g, p, average="macro", zero_division=0),
                    "micro": f1_score(g, p, average="micro", zero_division=0)})
    return out


def paragraph_f1(said, right):
    if not right:
        return float(not said)
    same = len(set(said) & set(right))
    if same == 0:
        return 0.0
    precision, recall = same / len(said), same / len(right)
    return 2 * precision * recall / (precision + recall)


def evidence():
    """Rows of questions in a mixed order; a question's paragraphs may be the same text twice."""
    rng, out = random.Random(11), []
    for _ in range(6):
        rows, score, nothing = [], [], []
        for q in range(rng.randrange(1, 6)):
            paragraphs = [f"p{rng.randrange(5)}" for _ in range(rng.randrange(1, 7))]
            lists = [[p for p in sorted(set(paragraphs)) if rng.random() < 0.4] for _ in range(rng.randrange(1, 4))]
            said = [rng.random() < 0.4 for _ in paragraphs]
            rows += [{"question": q, "paragraph": p, "evidence": lists, "said": s} for p, s in zip(paragraphs, said)]
            yes = [p for p, s in zip(paragraphs, said) if s]
            score.append(max(paragraph_f1(yes, x) for x in lists))
            nothing.append(max(paragraph_f1([], x) for x in lists))
        rng.shuffle(rows)
        out.append({"rows": rows, "score": sum(score) / len(score), "nothing": sum(nothing) / len(nothing)})
    return out


def truth():
    rng, out = random.Random(12), []
    for _ in range(12):
        n = rng.randrange(2, 7)
        nll = [round(rng.uniform(0.5, 40), 3) for _ in range(n)]
        right = [True] + [rng.random() < 0.4 for _ in range(n - 2)] + [False]
        p = [math.exp(-x) for x in nll]
        out.append({"nll": nll, "right": right, "mc1": float(nll[0] < min(x for x, r in zip(nll, right) if not r)),
                    "mc2": sum(x for x, r in zip(p, right) if r) / sum(p)})
    return out


def perplexity():
    rng, out = random.Random(13), []
    for n in (1, 2, 30):
        tokens = [rng.randrange(1, 40) for _ in range(n)]
        nll = [round(t * rng.uniform(0.1, 5), 4) for t in tokens]
        out.append({"nll": nll, "tokens": tokens, "score": math.exp(sum(nll) / sum(tokens))})
    return out

stem, rouge = porter.PorterStemmer(), rouge_scorer.RougeScorer(["rougeL"], use_stemmer=True)
more = sorted(set(re.findall("[a-z]{3,}", " ".join(open(__file__).read().lower().split()))))
data = {
    "stems": [[w, stem.stem(w) if len(w) > 3 else w] for w in WORDS + more],
    "rouge-l": [{"answers": a, "prediction": p, "score": rouge.score_multi(a, p)["rougeL"].fmeasure} for a, p in ROUGE],
    "drop-f1": [{"answers": a, "prediction": p, "score": max(drop_f1(p, x) for x in a)} for a, p in DROP],
    "exact": [{"answers": a, "prediction": p, "score": float(any(norm(p) == norm(x) for x in a))} for a, p in PLAIN],
    "token-f1": [{"answers": a, "prediction": p, "score": max(token_f1(p, x) for x in a)} for a, p in PLAIN],
    "macro-f1": macro(),
    "evidence-f1": evidence(),
    "truth": truth(),
    "perplexity": perplexity(),
}
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "metrics.json"), "w") as f:
    f.write("{\n" + ",\n".join('"%s": [\n%s\n]' % (k, ",\n".join(json.dumps(x) for x in v)) for k, v in data.items()) + "\n}\n")
