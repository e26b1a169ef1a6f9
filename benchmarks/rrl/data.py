"""Unpacks the authors' data sets and folds from a shared data folder into a work folder."""
import pathlib
import subprocess

import numpy as np

SETS = ["tic-tac-toe", "banknote", "wine", "magic04", "adult", "bank-marketing", "chess", "letRecog", "dota2", "facebook"]


def _unzstd(source, target):
    if not target.exists():
        subprocess.run(["zstd", "-dqf", str(source), "-o", str(target)], check=True)


def _dota2(uci, work):
    """The compact rows as the 116 columns of the original: label first there, last here."""
    if (work / "dota2.data").exists():
        return
    with open(work / "dota2.data", "w") as out:
        for part in ("Train", "Test"):
            compact = work / f"dota2{part}.compact.csv"
            _unzstd(uci / f"dota2/dota2{part}.compact.csv.zst", compact)
            for line in open(compact):
                cells = list(map(int, line.split(",")))
                row = ["0"] * 117
                row[:4] = map(str, cells[:4])
                for hero in cells[4:]:
                    row[3 + abs(hero)] = "1" if hero > 0 else "-1"
                out.write(",".join(row[1:] + row[:1]) + "\n")
    names = ["cluster", "mode", "type"] + [f"h{i}" for i in range(1, 114)] + ["class"]
    (work / "dota2.info").write_text("".join(f"{name} discrete\n" for name in names) + "LABEL_POS -1\n")


def _folds(n_rows, path):
    """The authors' rule: shuffle with pandas' `sample(frac=1, random_state=0)`, then `KFold(5, True, 0)`."""
    import pandas
    from sklearn.model_selection import KFold

    order = pandas.DataFrame({"row": np.arange(n_rows)}).sample(frac=1, random_state=0)["row"].to_numpy()
    fold = np.empty(n_rows, int)
    for at, (_, test) in enumerate(KFold(5, shuffle=True, random_state=0).split(order)):
        fold[test] = at
    lines = sorted((row, place, fold[place]) for place, row in enumerate(order))
    path.write_text("original_row,shuffled_pos,test_fold\n" + "".join(f"{a},{b},{c}\n" for a, b, c in lines))


def unpack(uci, work):
    uci, work = pathlib.Path(uci), pathlib.Path(work)
    work.mkdir(parents=True, exist_ok=True)
    if not (work / "folds").exists():
        subprocess.run(["tar", "--zstd", "-xf", str(uci / "folds.tar.zst"), "-C", str(work)], check=True)
    for name in SETS:
        if name == "dota2":
            _dota2(uci, work)
        elif name == "facebook":
            _unzstd(uci / "facebook/facebook.sparse.txt.zst", work / "facebook.txt")
        else:
            _unzstd(uci / f"authors_format/{name}.data.zst", work / f"{name}.data")
            (work / f"{name}.info").write_text((uci / f"authors_format/{name}.info").read_text())
    if not (work / "folds/dota2.csv").exists():
        _folds(102944, work / "folds/dota2.csv")


def arguments(name, work):
    """How the `rrl` example reads a set."""
    folds = ["--folds", f"{work}/folds/{name}.csv", "--name", name]
    if name == "facebook":
        return [f"{work}/facebook.txt", "--sparse", "4714"] + folds
    return [f"{work}/{name}.data", "--info", f"{work}/{name}.info"] + folds
