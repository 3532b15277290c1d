"""A model with adapters injected in place -> the same model as peft itself builds it, tensor by tensor.

Which base modules the folder must bring along is read off the tensors: whatever differs from the base's own
files (the head, and anything else that was trained beside the adapters) is saved whole.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ftcli.errors import ConfigError, Problem
from ftcli.plan.units import base_prefix
from ftcli.run.model import build_base_model
from ftcli.trainer.state_dict import tensors_of

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ftcli.batching.head import Head
    from ftcli.inference.load import LoadedModel

ADAPTER = "default"
_SAVED, _ORIGINAL = f".modules_to_save.{ADAPTER}.", ".original_module."


def build_peft(finished: LoadedModel, head: Head) -> Any:
    """Returns peft's own model with the run's tensors, every one of them compared.

    Args:
        finished: the run, loaded.
        head: of the run's model.

    Raises:
        ConfigError: peft has no such method, or has no place for a tensor that the run changed.
    """
    import peft
    import torch

    built = finished.built
    assert built is not None
    described = copy.deepcopy(built.peft.peft_config)
    method = finished.composed.config.choices["peft"]
    if described is None:
        message = f"peft={method} is a method that plain peft does not have: no PEFT folder can hold it"
        raise ConfigError(Problem("RUN", message, "ftcli evaluate and ftcli predict read the run itself"))
    base = plain_base(finished)
    described.task_type = head.adapter_task_type(prompt=described.is_prompt_learning)
    described.modules_to_save = modules_to_save(finished.model, base) or None
    described.inference_mode = False
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # Properties that transformers 5 has renamed, kernels that peft cannot compile here: the run printed them.
        warnings.simplefilter("ignore")
        # Random values are overwritten below; a method that changes the base by the seed gets the run's seed.
        torch.random.default_generator.manual_seed(finished.composed.config.seed)
        model = peft.get_peft_model(base, described)
    transfer(finished.model, model, built.peft.peft_names, prompt=described.is_prompt_learning)
    return model.to(finished.runtime.device).eval()


def plain_base(finished: LoadedModel) -> nn.Module:
    """Returns the base with its head, without adapters, as the run began with it."""
    model: nn.Module = build_base_model(finished.inputs, attention=finished.runtime.attention).model
    return model


def modules_to_save(model: nn.Module, base: nn.Module) -> list[str]:
    """Returns the modules whose tensors the run changed and no adapter stands in.

    Args:
        model: the run's, adapters in place.
        base: the same architecture as its files are.

    Raises:
        ConfigError: such a module holds adapters, or is the whole model.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    before = tensors_of(base)
    tuned = [name for name, module in model.named_modules() if isinstance(module, BaseTunerLayer)]
    prefix = base_prefix(model)
    found: set[str] = set()
    for name, tensor in tensors_of(model).items():
        plain = before.get(name)
        if any(name.startswith(f"{one}.") for one in tuned) or plain is None:
            continue  # adapters, and weights that their initialisation changed: peft makes them itself
        if same(tensor, plain):
            continue
        found.add(_whole(name, prefix))
    for module in sorted(found):
        if not module or any(one.startswith(f"{module}.") or one == module for one in tuned):
            message = f"the run changed {module or 'a tensor of the whole model'}, which also holds adapters: peft cannot save both"
            raise ConfigError(Problem("RUN", message, "type --merge for a folder without adapters"))
    return sorted(found)


def _whole(name: str, prefix: str) -> str:
    """Returns the module to save for a tensor: the head's outermost, otherwise the one that owns it."""
    owner = name.rpartition(".")[0]
    if not name.startswith(f"{prefix}."):
        return name.partition(".")[0] if owner else ""
    parts = owner.split(".")
    return ".".join(parts[: parts.index("pooler") + 1]) if "pooler" in parts else owner


def transfer(model: nn.Module, target: Any, names: Mapping[str, str], *, prompt: bool) -> None:
    """Copies every tensor of the run's model into peft's and compares all of them.

    Args:
        model: the run's, adapters in place.
        target: peft's.
        names: tensor of the run -> its name in peft's model, where that is not its own behind a prefix.
        prompt: soft prompts: peft's model stands beside the prompts, not inside a tuner.

    Raises:
        ConfigError: a tensor on either side has no counterpart, or differs though peft does not save it.
    """
    import torch

    own = {names.get(name, name): tensor for name, tensor in tensors_of(model).items()}
    places = _places(target, "base_model." if prompt else "base_model.model.")
    saved = _saved_names(target)
    # A method's own buffers (which ranks are kept, say) have no place in peft's; the proof would show it.
    counters = own.keys() - places.keys() - {names.get(n, n) for n, _ in model.named_parameters()}
    lost = sorted((own.keys() ^ places.keys()) - counters)
    wrong = []
    with torch.no_grad():
        for name in own.keys() & places.keys():
            if same(own[name], places[name][1]):
                continue
            if places[name][0] not in saved:
                wrong.append(name)
            places[name][1].copy_(own[name])
    if lost or wrong:
        what = (
            f"has no counterpart for {lost[0]}"
            if lost
            else f"does not save {wrong[0]}, which the run changed"
        )
        message = f"peft's model {what} ({len(lost) + len(wrong)} tensors in all)"
        raise ConfigError(Problem("RUN", message, "ftcli evaluate and ftcli predict read the run itself"))


def _places(target: Any, prefix: str) -> dict[str, tuple[str, torch.Tensor]]:
    """Returns the name a tensor has in the run -> its name and tensor in peft's model."""
    found = {}
    for name, tensor in tensors_of(target).items():
        if _ORIGINAL not in name:
            found[name.removeprefix(prefix).replace(_SAVED, ".")] = (name, tensor)
    return found


def _saved_names(target: Any) -> set[str]:
    """Returns the names, in peft's model, of what trains or is wrapped to be saved."""
    trained = {name for name, parameter in target.named_parameters() if parameter.requires_grad}
    return trained | {name for name in tensors_of(target) if _SAVED in name or f".{ADAPTER}" in name}


def merged(model: Any, method: str) -> nn.Module:
    """Returns the plain model with the adapters added into its weights.

    Raises:
        ConfigError: the method's effect is no change of weights, or NaN would come out.
    """
    if not hasattr(model, "merge_and_unload") or not hasattr(model.base_model, "merge_and_unload"):
        message = (
            f"peft={method} cannot be merged: its vectors are input to the model, no change of its weights"
        )
        raise ConfigError(Problem("--merge", message, "export without --merge"))
    try:
        return _unwrapped(model.merge_and_unload(safe_merge=True))
    except (ValueError, NotImplementedError, TypeError, AttributeError) as error:
        message = f"peft={method} cannot be merged: {str(error).splitlines()[0]}"
        raise ConfigError(Problem("--merge", message, "export without --merge")) from error


def _unwrapped(model: nn.Module) -> nn.Module:
    """Puts the trained module in the place of each wrapper that peft leaves, as after LayerNorm tuning."""
    from peft.utils import ModulesToSaveWrapper

    for name, module in list(model.named_modules()):
        if isinstance(module, ModulesToSaveWrapper):
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, module.modules_to_save[ADAPTER])
    return model


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Returns whether two tensors of any shape (num_rows, ...) have the same shape and values."""
    import torch

    return one.shape == other.shape and bool(torch.equal(one.cpu(), other.to(one.dtype).cpu()))
