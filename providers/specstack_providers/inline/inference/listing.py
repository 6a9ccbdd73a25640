"""What a provider in this process says about its models."""

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]


def models_list(provider_id: str, created: int, models: Mapping[str, tuple[str, Mapping[str, Any]]]) -> Json:
    """The reply of `list_models`. `models` maps ids to type and further facts."""
    data = [
        {
            "id": model_id,
            "object": "model",
            "created": created,
            "owned_by": provider_id,
            "custom_metadata": {
                **facts,
                "model_type": kind,
                "provider_id": provider_id,
                "provider_resource_id": model_id,
            },
        }
        for model_id, (kind, facts) in models.items()
    ]
    return {"object": "list", "data": data}
