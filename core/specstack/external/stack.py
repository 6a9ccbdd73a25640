"""The run config's class with the resources that have joined the server from outside."""

from typing import TYPE_CHECKING

from pydantic import BaseModel, Field, create_model

from specstack.descriptors import GeneratedServer
from specstack.references import load_reference

if TYPE_CHECKING:
    from specstack_api.run_config import StackConfig


def stack_class(server: GeneratedServer) -> "type[StackConfig]":
    """The generated class, or one like it whose `registered_resources` has more lists."""
    from specstack_api.run_config import RegisteredResources, StackConfig

    added: list[type[BaseModel]] = [
        load_reference(one.registered) for one in server.external if one.registered
    ]
    if not added:
        return StackConfig
    holder = create_model(RegisteredResources.__name__, __base__=(RegisteredResources, *added))
    return create_model(
        StackConfig.__name__,
        __base__=StackConfig,
        registered_resources=(holder, Field(default_factory=holder)),
    )
