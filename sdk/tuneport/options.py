"""What only one provider needs to be told. All of it is optional: what is unset comes from the provider's own environment.

No credential is an option: each provider's SDK finds them its own way.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tuneport.strict import Strict


class OpenAIOptions(Strict):
    """OpenAI and the services that speak its wire. Credentials: `OPENAI_API_KEY`; Azure: `AZURE_OPENAI_API_KEY`."""

    base_url: str | None = Field(default=None, description="another service; unset: OPENAI_BASE_URL, then OpenAI's own")
    organization: str | None = None
    project: str | None = None
    suffix: str | None = Field(default=None, min_length=1, max_length=64, description="in the tuned model's name")
    api_version: str | None = Field(default=None, description="Azure only")
    region: str | None = Field(default=None, description="bedrock-openai only")
    deployment: str | None = Field(default=None, description="Azure only: the name of the deployment to make")
    compute_multiplier: float | None = Field(default=None, gt=0, le=10, description="reinforcement only")
    reasoning_effort: Literal["default", "low", "medium", "high"] | None = Field(
        default=None, description="reinforcement only"
    )
    eval_interval: int | None = Field(default=None, ge=1, description="reinforcement only: steps between evaluations")
    eval_samples: int | None = Field(default=None, ge=1, description="reinforcement only")


class BedrockOptions(Strict):
    """Amazon Bedrock. Credentials: boto3's own chain (`AWS_ACCESS_KEY_ID`, a profile, an instance's role)."""

    bucket: str | None = Field(default=None, description="s3://bucket/prefix for the rows and the artifacts")
    role: str | None = Field(
        default=None, description="ARN of the role that Bedrock takes to read and write the bucket"
    )
    region: str | None = None
    profile: str | None = None
    customization: Literal["distillation"] | None = Field(
        default=None, description="distillation: `teacher` writes the answers that are learnt"
    )
    teacher: str | None = Field(default=None, description="the teacher's model id, for distillation")
    grader_lambda: str | None = Field(default=None, description="ARN of the Lambda that grades, for reinforcement")
    kms_key: str | None = None
    subnets: list[str] = Field(default_factory=list)
    security_groups: list[str] = Field(default_factory=list)
    model_units: int = Field(default=1, ge=1, description="of provisioned throughput, where a deployment asks for it")
    # Their ranges are the model's, in the catalog.
    reasoning_effort: str | None = Field(default=None, description="reinforcement only")
    eval_interval: int | None = Field(default=None, description="reinforcement only")
    max_prompt_length: int | None = Field(default=None, description="reinforcement only: tokens")
    inference_max_tokens: int | None = Field(default=None, description="reinforcement only: of an answer")
    max_response_length: int | None = Field(default=None, description="distillation only: of the teacher")
    endpoint_url: str | None = Field(
        default=None, description="for all of AWS: a stand-in, say; unset: AWS_ENDPOINT_URL"
    )


class VertexOptions(Strict):
    """Google Vertex AI. Credentials: Google's application default (`GOOGLE_APPLICATION_CREDENTIALS`, gcloud's login)."""

    bucket: str | None = Field(default=None, description="gs://bucket/prefix for the rows and the artifacts")
    project: str | None = Field(default=None, description="unset: GOOGLE_CLOUD_PROJECT")
    location: str | None = Field(default=None, description="unset: GOOGLE_CLOUD_LOCATION, then us-central1")
    base_url: str | None = Field(default=None, description="a stand-in for the service")
    adapter_size: Literal[1, 2, 4, 8, 16, 32] | None = None
    output: str | None = Field(
        default=None, description="gs:// where an open model's weights go; unset: under the bucket"
    )
    machine_type: str | None = Field(default=None, description="for the endpoint of an open model")
