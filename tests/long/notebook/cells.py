"""What the notebook "Fine tune a PyTorch BERT model and deploy it with Elastic Inference on Amazon SageMaker"
asks of SageMaker, cell by cell. Nothing here says where the service is.

Run by tests/long/test_notebook.py in a folder with train.csv, test.csv, traced_bert.tar.gz and code/.
Prints a line of JSON for each cell that has a result. EXECUTION_ROLE: the role, where STS cannot be
asked for it.
"""

import json
import os
import pathlib
import sys
import tarfile

import numpy as np
import sagemaker
from sagemaker.deserializers import JSONDeserializer
from sagemaker.pytorch import PyTorch, PyTorchModel
from sagemaker.serializers import JSONSerializer

SENTENCES = ["Somebody just left - guess who.", "They claimed they had settled on something, but it wasn't clear.",
             "Sally would where know."]
PREFIX = "sagemaker/DEMO-pytorch-bert"


def told(cell, value):
    print("\nCELL " + json.dumps([cell, value]), flush=True)


def ask(predictor, texts):
    predictor.serializer = JSONSerializer()
    predictor.deserializer = JSONDeserializer()
    result = predictor.predict(texts)
    return {"logits": result, "classes": np.argmax(result, axis=1).tolist()}


told("version", sagemaker.__version__)
session = sagemaker.Session()
bucket = session.default_bucket()
told("bucket", bucket)
role = os.environ.get("EXECUTION_ROLE") or sagemaker.get_execution_role()
told("role", role)

train = session.upload_data("train.csv", bucket=bucket, key_prefix=PREFIX)
test = session.upload_data("test.csv", bucket=bucket, key_prefix=PREFIX)

estimator = PyTorch(
    entry_point="train_deploy.py", source_dir="code", role=role, framework_version="1.3.1", py_version="py3",
    instance_count=2, instance_type="ml.p3.2xlarge", disable_profiler=True,
    hyperparameters={"epochs": 1, "num_labels": 2, "backend": "gloo"})
estimator.fit({"training": train, "testing": test})

predictor = estimator.deploy(initial_instance_count=1, instance_type="ml.m5.large")
told("estimator", ask(predictor, SENTENCES[0]))
predictor.delete_endpoint()

told("model_data", estimator.model_data)
model = PyTorchModel(model_data=estimator.model_data, role=role, framework_version="1.3.1", source_dir="code",
                     py_version="py3", entry_point="train_deploy.py")
predictor = model.deploy(initial_instance_count=1, instance_type="ml.m5.large")
told("model", ask(predictor, SENTENCES[0]))
told("batch", ask(predictor, SENTENCES))
predictor.delete_endpoint()

# In the notebook a shell's "aws s3 cp" and tar.
key = estimator.model_data[len(f"s3://{bucket}/"):]
session.boto_session.client("s3").download_file(bucket, key, "model.tar.gz")
with tarfile.open("model.tar.gz") as archive:
    told("files", sorted(name for name in archive.getnames() if name != "."))

traced = session.upload_data("traced_bert.tar.gz", bucket=bucket, key_prefix=PREFIX)
name = f"bert-ei-traced-mlm5large-mleia2xlarge-{os.getpid()}"
model = PyTorchModel(model_data=traced, role=role, framework_version="1.3.1", source_dir="code", py_version="py3",
                     entry_point="deploy_ei.py", sagemaker_session=session)
predictor = model.deploy(initial_instance_count=1, instance_type="ml.m5.large",
                         accelerator_type="ml.eia2.xlarge", endpoint_name=name)
told("traced", ask(predictor, pathlib.Path("traced.txt").read_text()))
predictor.delete_endpoint()
print(f"the notebook's end, Python {sys.version.split()[0]}")
