"""Special tokens that stand in the rows' own texts are counted and named."""

import json


def test_rows_with_a_special_token_written_out_are_named(ftcli, tiny, tmp_path):
    file = tmp_path / "rows" / "train.tsv"
    lines = file.read_text().splitlines()
    for number in (3, 7):
        text, label = lines[number].split("\t")
        lines[number] = f"{text} </s> very\t{label}"
    file.write_text("\n".join(lines) + "\n")
    done = ftcli("check-data", *tiny, "--json")
    [found] = [one for one in json.loads(done.out)["findings"] if one["name"] == "special-tokens"]
    assert found["level"] == "warning" and "train: 2 rows hold a special token" in found["text"]
    assert [place.rpartition(":")[2] for place in found["where"]] == ["4", "8"]


def test_rows_without_one_are_not(ftcli, tiny):
    done = ftcli("check-data", *tiny, "--json")
    assert "special-tokens" not in done.out and "unknown" not in done.err
