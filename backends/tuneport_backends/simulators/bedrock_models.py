"""What a tuned model of the simulated Bedrock is put to: deployed, provisioned, imported, asked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, cast

from tuneport_backends.simulators.bedrock_jobs import stamp
from tuneport_backends.simulators.bedrock_rows import Taught, key, said
from tuneport_backends.simulators.bedrock_s3 import S3Refusal
from tuneport_backends.simulators.bedrock_state import ACCOUNT, TUNABLE, Standing, State, new_id, page
from tuneport_backends.simulators.bedrock_wire import Refusal, Row, inner, invalid, missing

TUNED_ELSE = "This is the tuned model's answer to what it was not taught."
BASE = "This is the base model's answer."


# Deployments


def deploy(state: State, asked: Row, region: str) -> Row:
    job = state.model(str(asked["modelArn"]))
    if not job.base_arn.rpartition("/")[2].startswith("amazon.nova"):
        raise invalid("On-demand deployment is not supported for this custom model. Use Provisioned Throughput.")
    arn = f"arn:aws:bedrock:{region}:{ACCOUNT}:custom-model-deployment/{new_id()}"
    payload = {
        "customModelDeploymentArn": arn,
        "modelDeploymentName": asked["modelDeploymentName"],
        "modelArn": job.model_arn,
        "createdAt": stamp(state.moment(state.now)),
    }
    _stand(state, str(asked["modelDeploymentName"]), arn, job.model_arn, region, payload, ("Creating", "Active"), asked)
    return {"customModelDeploymentArn": arn}


def provision(state: State, asked: Row, region: str) -> Row:
    job = state.model(str(asked["modelId"]))
    arn = f"arn:aws:bedrock:{region}:{ACCOUNT}:provisioned-model/{new_id()}"
    payload = {
        "provisionedModelArn": arn,
        "provisionedModelName": asked["provisionedModelName"],
        "modelArn": job.model_arn,
        "desiredModelArn": job.model_arn,
        "foundationModelArn": job.base_arn,
        "modelUnits": asked["modelUnits"],
        "desiredModelUnits": asked["modelUnits"],
        "creationTime": stamp(state.moment(state.now)),
        "lastModifiedTime": stamp(state.moment(state.now)),
    }
    if "commitmentDuration" in asked:
        payload["commitmentDuration"] = asked["commitmentDuration"]
    _stand(
        state, str(asked["provisionedModelName"]), arn, job.model_arn, region, payload, ("Creating", "InService"), asked
    )
    return {"provisionedModelArn": arn}


def _stand(
    state: State, name: str, arn: str, model: str, region: str, payload: Row, words: tuple[str, str], asked: Row
) -> None:
    if any(one.name == name and one.words == words for one in state.standing):
        raise Refusal(409, "ConflictException", f"The name {name} is already in use.")
    state.standing.append(Standing(name, arn, model, region, state.now, payload, words, asked))


def stands(state: State, name: str) -> Standing:
    for one in state.standing:
        if name in {one.name, one.arn}:
            return one
    raise missing("Could not find the deployment.")


def standing_payload(state: State, one: Standing) -> Row:
    made = state.now >= one.created + state.timing.deploying
    return {**one.payload, "status": one.words[1 if made else 0]}


def list_standing(state: State, asked: Row, region: str, word: str, key: str) -> Row:
    items = [standing_payload(state, one) for one in state.standing if one.words[1] == word and one.region == region]
    for item in items:
        if "modelDeploymentName" in item:
            item["customModelDeploymentName"] = item.pop("modelDeploymentName")
    for wanted, name in (("modelArnEquals", "modelArn"), ("statusEquals", "status")):
        if wanted in asked:
            items = [item for item in items if item[name] == asked[wanted]]
    return page(items, asked, key)


def take_down(state: State, name: str) -> Row:
    one = stands(state, name)
    if "commitmentDuration" in one.payload:
        raise Refusal(409, "ConflictException", "The commitment of this Provisioned Throughput has not ended.")
    state.standing.remove(one)
    return {}


# Imports


def import_model(state: State, asked: Row, region: str) -> Row:
    source = str(asked["modelDataSource"]["s3DataSource"]["s3Uri"])
    for item in state.imports:
        if item["asked"]["jobName"] == asked["jobName"]:
            if item["asked"] == asked and "clientRequestToken" in asked:
                return {"jobArn": item["arn"]}
            raise Refusal(400, "ConflictException", f"The job name {asked['jobName']} is already in use.")
    try:
        names = [name.rpartition("/")[2] for name, _ in state.s3.read(source)]
    except S3Refusal as error:
        raise invalid(f"Bedrock could not read the S3 data: {error.message}") from None
    arn = f"arn:aws:bedrock:{region}:{ACCOUNT}:model-import-job/{new_id()}"
    whole = "config.json" in names and any(name.endswith(".safetensors") for name in names)
    state.imports.append(
        {
            "asked": asked,
            "region": region,
            "created": state.now,
            "arn": arn,
            "model": f"arn:aws:bedrock:{region}:{ACCOUNT}:imported-model/{new_id()}",
            "failure": None if whole else "config.json and .safetensors files are required.",
        }
    )
    return {"jobArn": arn}


def import_job(state: State, name: str) -> Row:
    for item in state.imports:
        if name in {item["arn"], item["asked"]["jobName"]}:
            return _import_payload(state, item)
    raise missing("Could not find the model import job.")


def _import_payload(state: State, item: Row) -> Row:
    over = state.now >= item["created"] + state.timing.importing
    found: Row = {
        "jobArn": item["arn"],
        "jobName": item["asked"]["jobName"],
        "importedModelName": item["asked"]["importedModelName"],
        "roleArn": item["asked"]["roleArn"],
        "modelDataSource": item["asked"]["modelDataSource"],
        "creationTime": stamp(state.moment(item["created"])),
        "status": ("Failed" if item["failure"] else "Completed") if over else "InProgress",
    }
    if over and item["failure"]:
        found["failureMessage"] = item["failure"]
    elif over:
        found["importedModelArn"] = item["model"]
    return found


# Asking


def converse(state: State, asked: Row, region: str) -> Row:
    model = str(asked["modelId"])
    turns = cast("list[Row]", asked.get("messages") or [])
    _alternate(turns)
    system = "\n".join(str(block["text"]) for block in cast("list[Row]", asked.get("system") or []) if "text" in block)
    taught = _asked(state, model, region)
    answer = state.answer(model, turns) if state.answer is not None else None
    if answer is None and taught is None:
        answer = BASE
    elif answer is None:
        texts = [said(turn["content"]) for turn in turns]
        answer = (taught or {}).get(key(system, texts), TUNED_ELSE)
    if not isinstance(answer, str):
        return _replied(answer, "tool_use", len(json.dumps(turns).split()), len(json.dumps(answer).split()))
    words, most = answer.split(), inner(asked, "inferenceConfig").get("maxTokens")
    cut = most is not None and len(words) > int(most)
    read = len(json.dumps(turns).split())
    written = int(most) if cut and most is not None else len(words)
    text = " ".join(words[:written]) if cut else answer
    return _replied([{"text": text}], "max_tokens" if cut else "end_turn", read, written)


def _replied(content: Sequence[Mapping[str, Any]], reason: str, read: int, written: int) -> Row:
    return {
        "output": {"message": {"role": "assistant", "content": [*content]}},
        "stopReason": reason,
        "usage": {"inputTokens": read, "outputTokens": written, "totalTokens": read + written},
        "metrics": {"latencyMs": 12},
    }


def _asked(state: State, model: str, region: str) -> Mapping[str, Taught] | None:
    """What the model was taught; None for a base model. Refusal for one that cannot be asked."""
    if ":custom-model/" in model:
        raise invalid("Invocation of a custom model ARN isn't supported. Deploy the model and use the deployment.")
    if ":custom-model-deployment/" in model or ":provisioned-model/" in model:
        one = stands(state, model)
        if standing_payload(state, one)["status"] == "Creating":
            raise Refusal(429, "ModelNotReadyException", "The model is not ready for inference.")
        return state.model(one.model).learnt
    if ":imported-model/" in model:
        if any(_import_payload(state, item).get("importedModelArn") == model for item in state.imports):
            return {}
        raise missing("Could not find the imported model.")
    if model in TUNABLE:  # with the context length that only tuning ids have
        raise invalid("The provided model identifier is invalid.")
    bare = model.rpartition("/")[2]
    if not any(known.rpartition(":")[0] in bare for known in TUNABLE):
        raise missing(f"Could not find the model {bare} in {region}.")
    return None


def _alternate(turns: list[Row]) -> None:
    if not turns or turns[0]["role"] != "user" or turns[-1]["role"] != "user":
        raise invalid("A conversation must start with a user message and end with one.")
    if any(one["role"] == other["role"] for one, other in pairwise(turns)):
        raise invalid("Roles must alternate between user and assistant.")
