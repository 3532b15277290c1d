"""A CUDA device imitated on the CPU, to find tensors on the wrong device where there is no GPU.

Tensors of the device are wrappers that say `cuda:0` and compute on the CPU. As on a GPU, an operation that mixes both
devices is an error (but for tensors without dimensions), and so is `numpy()`. For torch itself the device is one of its
`PrivateUse1` kind, which it lets Python define. Values, kernels, autocast, memory and speed are those of the CPU in fp32:
what depends on them is seen on a GPU alone.
"""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map_only

aten = torch.ops.aten
NAME = "imitated"
SAID, CPU = torch.device("cuda:0"), torch.device("cpu")
INDEXING = {aten.index.Tensor, aten.index_put_.default, aten.index_put.default, aten._index_put_impl_.default}
"""Take indices from the CPU, as CUDA's kernels do."""


class OnDevice(torch.Tensor):
    """A tensor of the imitated device; `inner` holds its values, on the CPU."""

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor, requires_grad: bool = False) -> OnDevice:
        made = torch.Tensor._make_wrapper_subclass(
            cls, inner.shape, strides=inner.stride(), storage_offset=inner.storage_offset(), dtype=inner.dtype,
            layout=inner.layout, device=torch.device(NAME, 0), requires_grad=requires_grad,
        )  # fmt: skip
        made.inner = inner
        return made

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        return f"OnDevice({self.inner!r})"

    def __deepcopy__(self, memo: dict) -> torch.Tensor:
        copy: torch.Tensor = OnDevice(self.inner.detach().clone(), self.requires_grad)
        if isinstance(self, torch.nn.Parameter):
            copy = torch.nn.Parameter(copy, self.requires_grad)
        memo[id(self)] = copy
        return copy

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return compute(func, args, kwargs or {})


def compute(func: Any, args: tuple, kwargs: dict) -> Any:
    """Computes on the CPU, refuses what mixes devices, and wraps what belongs to the imitated one."""
    tensors = [value for value in tree_leaves((args, kwargs)) if isinstance(value, torch.Tensor)]
    here = [value for value in tensors if isinstance(value, OnDevice)]
    target = kwargs.get("device")
    moves = func in (aten._to_copy.default, aten.copy_.default, aten._copy_from.default)
    if here and not moves and func not in INDEXING:
        for value in tensors:
            if not isinstance(value, OnDevice) and value.dim() > 0:
                raise RuntimeError(
                    f"Expected all tensors to be on the same device, but found cuda:0 and {value.device} in {func}"
                )
    own_args, own_kwargs = tree_map_only(OnDevice, lambda tensor: tensor.inner, (args, kwargs))
    if target is not None:
        own_kwargs["device"] = CPU if ours(target) else target
        own_kwargs.pop("pin_memory", None)
    out = func(*own_args, **own_kwargs)
    if func is aten.copy_.default:
        return args[0]
    if target is not None and not ours(target):
        return out
    wrapped = tree_map_only(
        torch.Tensor, lambda tensor: tensor if isinstance(tensor, OnDevice) else OnDevice(tensor), out
    )
    return return_and_correct_aliasing(func, args, kwargs, wrapped) if here else wrapped


def ours(device: Any) -> bool:
    return torch.device(device).type in (NAME, "cuda")


class Factories(TorchDispatchMode):
    """Makes tensors that are asked for on the device."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        target = (kwargs or {}).get("device")
        if target is not None and ours(target):
            return compute(func, args, kwargs)
        # The device has no allocator of pinned memory.
        if func is aten.is_pinned.default:
            return False
        if func is aten._pin_memory.default:
            return args[0]
        return func(*args, **{key: value for key, value in (kwargs or {}).items() if key != "pin_memory"})


class Names(TorchFunctionMode):
    """Translates `cuda` to the device's own name, and back where a tensor is asked."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        if name == "__get__" and args and isinstance(args[0], OnDevice):
            if func is torch.Tensor.device.__get__:
                return SAID
            if func is torch.Tensor.is_cuda.__get__:
                return True
        if func is torch.Tensor.numpy and isinstance(args[0], OnDevice):
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first")
        if func in (torch.Tensor.untyped_storage, torch.Tensor.data_ptr) and isinstance(args[0], OnDevice):
            return func(args[0].inner)
        if func is torch.Tensor.is_pinned:
            return False
        if func is torch.Tensor.tolist and isinstance(args[0], OnDevice):
            return args[0].inner.tolist()
        if func is torch.Tensor.cuda:
            return args[0].to(SAID)
        args = tuple(own(value) for value in args)
        named = {key: own(value) for key, value in (kwargs or {}).items()}
        if func in (torch.tensor, torch.as_tensor, torch.asarray) and named.get("device") == torch.device(
            NAME, 0
        ):
            named.pop("device")  # made from Python values without the dispatcher
            return func(*args, **named).to(SAID)
        return func(*args, **named)


def own(value: Any) -> Any:
    cuda = (
        value in ("cuda", "cuda:0")
        if isinstance(value, str)
        else isinstance(value, torch.device) and value.type == "cuda"
    )
    return torch.device(NAME, 0) if cuda else value


def _no_autocast(real: Any) -> Any:
    """Returns `torch.autocast` that does nothing on the imitated device."""

    def autocast(device_type: Any, *args: Any, **kwargs: Any) -> Any:
        if ours(device_type):
            return contextlib.nullcontext()
        return real(device_type, *args, **kwargs)

    return autocast


def install() -> None:
    """Imitates the device in this process, for good."""
    from torch.utils import backend_registration

    backend_registration._setup_privateuseone_for_python_backend(NAME)
    said = {
        "is_available": True, "device_count": 1, "current_device": 0, "is_bf16_supported": True, "is_initialized": True,
        "get_device_name": "imitated", "max_memory_allocated": 0, "memory_allocated": 0, "mem_get_info": (2**34, 2**34),
        "memory_reserved": 0, "get_device_capability": (8, 0), "get_rng_state": torch.empty(0), "_lazy_init": None,
        "synchronize": None, "empty_cache": None, "reset_peak_memory_stats": None, "manual_seed_all": None, "manual_seed": None,
        "set_device": None, "set_rng_state": None,
    }  # fmt: skip
    for name, value in said.items():
        for module in (torch.cuda, getattr(torch, NAME)):
            setattr(module, name, lambda *_, _value=value, **__: _value)
    torch.autocast = torch.amp.autocast = torch.amp.autocast_mode.autocast = _no_autocast(torch.autocast)  # type: ignore
    torch.__future__.set_swap_module_params_on_conversion(True)
    torch._C._set_multithreading_enabled(False)  # backward in this thread: the device has none of its own
    Factories().__enter__()
    Names().__enter__()
