"""Weights that one network takes over from another."""

from torch import nn

from radsynth.common.errors import UserError


def copy_weights(start: nn.Module, network: nn.Module) -> None:
    """Give ``network`` all weights of ``start``, on whatever devices they are.

    UserError, in one line that names the first, for weights of other names or shapes.
    """
    theirs, own = ({name: list(tensor.shape) for name, tensor in of.state_dict().items()} for of in (start, network))
    for name in [*own, *theirs]:
        if own.get(name) != theirs.get(name):
            raise UserError(
                f"pretrain_on: the model to begin from has other networks: {name} {theirs.get(name, 'missing')}, "
                f"expected {own.get(name, 'none of this name')}"
            )
    network.load_state_dict(start.state_dict())
