// Models.

import {make, replace} from "/ui/shared/dom.js";
import * as cloud from "./cloud.js";
import {card, confirm, empty, facts, moreNote, objectLink, table, title, when} from "./parts.js";

export async function showModels(view, _, turn) {
  const body = make("section", {class: "card"});
  replace(view, title("Models"), body);
  return turn(5000, async () => {
    const page = await cloud.sagemaker("ListModels", {MaxResults: 100});
    replace(body, page.Models.length === 0 ? empty("No model yet.", "An estimator's deploy and boto3's create_model make them.")
      : table("Models", [
        {name: "Name", cell: model => make("a", {href: `#/models/${model.ModelName}`}, model.ModelName)},
        {name: "Created", cell: model => when(model.CreationTime)},
      ], page.Models), moreNote(page));
  });
}

export async function showModel(view, [name], turn) {
  const remove = make("button", {type: "button", class: "danger slim", onclick: async () => {
    const done = await confirm({heading: `Delete ${name}?`, text: "Endpoints that run keep it. Its data in the bucket stays.", yes: "Delete the model",
      done: "The model is deleted.", action: () => cloud.sagemaker("DeleteModel", {ModelName: name})});
    if (done) location.hash = "#/models";
  }}, "Delete");
  const body = make("div", {class: "stack"});
  replace(view, title(name, {path: [["Models", "#/models"]], aside: [make("span", {class: "row push"}, remove)]}), body);
  return turn(5000, async () => {
    const model = await cloud.sagemaker("DescribeModel", {ModelName: name});
    const container = model.PrimaryContainer ?? model.Containers?.[0] ?? {};
    const variables = Object.entries(container.Environment ?? {}).sort();
    replace(body, card("Model", facts([
      ["Image", container.Image], ["Data", objectLink(container.ModelDataUrl ?? container.ModelDataSource?.S3DataSource?.S3Uri)],
      ["Created", when(model.CreationTime)], ["Role", model.ExecutionRoleArn], ["ARN", make("span", {class: "mono"}, model.ModelArn)]])),
    variables.length > 0 && card("Environment", facts(variables.map(([key, value]) => [key, make("span", {class: "mono"}, value)]))));
    return true;  // a model never changes
  });
}
