"""Reading what `datasets` loaded, and what is said when the hub is out of reach."""

import datasets
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from huggingface_hub import constants

from ftcli.data.hub import contents_of, read_hub
from ftcli.errors import ConfigError, SourceError


def loaded(texts=("a", "NA"), labels=(1, 0)):
    features = Features({"sentence": Value("string"), "label": ClassLabel(names=["negative", "positive"])})
    data = Dataset.from_dict({"sentence": list(texts), "label": list(labels)}, features=features)
    return DatasetDict({"train": data, "test": data.select([1])})


def test_columns_class_names_and_content_digest():
    contents = contents_of(loaded(), "owner/name")
    assert contents["train"].columns == {"sentence": ["a", "NA"], "label": [1, 0]}
    assert contents["test"].columns == {"sentence": ["NA"], "label": [0]}
    assert contents["train"].class_names == {"label": ["negative", "positive"]}
    same = contents_of(loaded(), "another/name")["train"].sha256
    assert contents["train"].sha256 == same
    digests = {same, contents["test"].sha256}
    digests |= {
        contents_of(loaded(("a", "na")), "x")["train"].sha256,
        contents_of(loaded(labels=(0, 0)), "x")["train"].sha256,
    }
    assert len(digests) == 4


@pytest.mark.parametrize(
    ("offline", "reason"), [(True, "HF_HUB_OFFLINE=1 forbids a download"), (False, "refused")]
)
def test_out_of_reach_is_one_error(monkeypatch, tmp_path, offline, reason):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", offline)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    with pytest.raises(SourceError) as caught:
        read_hub("stanfordnlp/sst2", None)
    (problem,) = caught.value.problems
    assert problem.key == "data.id"
    assert problem.message.startswith("stanfordnlp/sst2 cannot be had from the hub or its local cache: ")
    assert reason in problem.message
    assert problem.hint.startswith("set data.path=DIR")
    assert constants.HF_HUB_OFFLINE is datasets.config.HF_HUB_OFFLINE is offline


def test_a_local_folder_is_no_hub_id(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "glue").mkdir()
    with pytest.raises(ConfigError) as caught:
        read_hub("glue", None)
    assert caught.value.problems[0].hint == "type data.path=glue"
