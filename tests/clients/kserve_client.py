"""Send requests with KServe's own client, and print the responses as JSON.

This script runs in a separate environment without Slipway. Arguments: the server's address, a token.
"""

import asyncio
import json
import sys
from typing import Any

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

ROWS = np.array([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]], dtype=np.float32)


async def ask(url: str, token: str) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {token}"}
    client = InferenceRESTClient(RESTConfig(protocol="v2", timeout=30))
    answers: dict[str, Any] = {
        "live": await client.is_server_live(url),
        "ready": await client.is_server_ready(url),
        "model ready": await client.is_model_ready(url, "iris", headers=headers),
        "other model ready": await client.is_model_ready(url, "rose", headers=headers),
        "ready without a token": await client.is_model_ready(url, "iris"),
    }
    for is_binary in (False, True):
        tensor = InferInput(name="X", shape=list(ROWS.shape), datatype="FP32")
        tensor.set_data_from_numpy(ROWS, binary_data=is_binary)
        request = InferRequest(
            model_name="iris",
            request_id="the-one",
            infer_inputs=[tensor],
            parameters={"binary_data_output": is_binary},
        )
        response = await client.infer(url, request, model_name="iris", headers=dict(headers))
        answers["binary" if is_binary else "json"] = {
            "id": response.id,
            "model": response.model_name,
            "outputs": {output.name: output.as_numpy().tolist() for output in response.outputs},
        }
    try:
        await client.infer(url, {"inputs": []}, model_name="iris", headers=headers)
    except httpx.HTTPStatusError as error:
        answers["error"] = str(error)
    await client.close()
    answers["v1"] = await ask_v1(url, headers)
    return answers


async def ask_v1(url: str, headers: dict[str, str]) -> dict[str, Any]:
    client = InferenceRESTClient(RESTConfig(protocol="v1", timeout=30))
    answers: dict[str, Any] = {
        "ready": await client.is_model_ready(url, "iris", headers=headers),
        "other model ready": await client.is_model_ready(url, "rose", headers=headers),
        "answer": await client.infer(url, {"instances": ROWS.tolist()}, model_name="iris", headers=headers),
    }
    try:
        await client.infer(url, {"instances": []}, model_name="iris", headers=headers)
    except httpx.HTTPStatusError as error:
        answers["error"] = str(error)
    await client.close()
    return answers


if __name__ == "__main__":
    found = asyncio.run(ask(*sys.argv[1:]))
    print(json.dumps(found, default=lambda value: value.decode() if isinstance(value, bytes) else str(value)))
