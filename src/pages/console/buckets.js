// Buckets and the objects in them.

import {announce, bytes, make, replace} from "/ui/shared/dom.js";
import * as cloud from "./cloud.js";
import {bucketAddress, card, confirm, empty, inWords, stamp, table, title} from "./parts.js";

// Asks, and shows the answer unless it was asked again meanwhile: answers may come in any order.
function newest(ask, show) {
  let turn = 0;
  return async () => {
    const mine = ++turn;
    const found = await ask();
    if (mine === turn) show(found);
  };
}

function newBucket(refresh) {
  const name = make("input", {type: "text", id: "bucket-name", autocomplete: "off", spellcheck: "false", "aria-describedby": "bucket-error"});
  const error = make("p", {class: "note bad", id: "bucket-error", role: "alert", hidden: true});
  const form = make("form", {class: "row", onsubmit: async event => {
    event.preventDefault();
    error.hidden = true;
    try {
      await cloud.createBucket(name.value.trim());
      announce(`Bucket ${name.value.trim()} is there.`);
      name.value = "";
      refresh();
    } catch (failure) {
      error.textContent = inWords(failure);
      error.hidden = false;
    }
  }}, make("div", null, make("label", {for: "bucket-name"}, "New bucket"), name), make("button", {type: "submit", class: "bottom"}, "Create"));
  return [form, error];
}

export async function showBuckets(view, _, turn) {
  const body = make("section", {class: "card"});
  const refresh = newest(cloud.buckets, buckets => {
    replace(body, buckets.length === 0 ? empty("No bucket yet.") : table("Buckets", [
      {name: "Name", cell: bucket => make("a", {href: bucketAddress(bucket.name)}, bucket.name)},
      {name: "Created", cell: bucket => stamp(bucket.created)},
      {name: "Actions", actions: true, cell: bucket => make("div", {class: "row"}, make("button", {type: "button", class: "danger slim", "aria-label": `Delete bucket ${bucket.name}`,
        onclick: async () => {
          const done = await confirm({heading: `Delete ${bucket.name}?`, text: "Only an empty bucket can be deleted.", yes: "Delete the bucket",
            done: "The bucket is deleted.", action: () => cloud.deleteBucket(bucket.name)});
          if (done) refresh();
        }}, "Delete"))},
    ], buckets));
  });
  replace(view, title("Buckets"), make("section", {class: "card", "aria-label": "New bucket"}, ...newBucket(refresh)), body);
  return turn(5000, refresh);
}

// Files go up one after the other.
function uploads(bucket, prefix, refresh) {
  const list = make("ul", {class: "uploads"});
  const input = make("input", {type: "file", id: "files", multiple: true, onchange: () => { start([...input.files]); input.value = ""; }});
  const box = make("div", {class: "drop"}, make("label", {for: "files"}, "Upload files"), input);
  async function start(files) {
    for (const file of files) {
      const bar = make("progress", {max: "1", value: "0", "aria-label": `Upload of ${file.name}`});
      const state = make("span", {class: "soft small"}, bytes(file.size));
      list.append(make("li", null, make("span", null, file.name), bar, state));
      try {
        await cloud.upload(bucket, prefix + file.name, file, share => { bar.value = share; });
        bar.value = 1;
        state.textContent = `${bytes(file.size)}, done`;
        announce(`${file.name} is uploaded.`);
      } catch (error) {
        state.textContent = inWords(error);
        announce(`${file.name}: ${state.textContent}`);
      }
    }
    refresh();
  }
  box.addEventListener("dragover", event => { event.preventDefault(); box.classList.add("over"); });
  box.addEventListener("dragleave", () => box.classList.remove("over"));
  box.addEventListener("drop", event => {
    event.preventDefault();
    box.classList.remove("over");
    start([...event.dataTransfer.files]);
  });
  return card("Upload", box, list);
}

function objectTable(bucket, prefix, page, refresh) {
  const rows = [...page.folders.map(folder => ({folder})), ...page.objects.filter(object => object.key !== prefix)];
  const below = key => key.slice(prefix.length);
  const download = async object => {
    try {
      // Signed for the moment; the browser takes it from there.
      make("a", {href: await cloud.downloadAddress(bucket, object.key), download: object.key.split("/").at(-1)}).click();
    } catch (error) {
      trouble.textContent = inWords(error);
      trouble.hidden = false;
    }
  };
  const trouble = make("p", {class: "note bad", role: "alert", hidden: true});
  const remove = async object => {
    const done = await confirm({heading: "Delete this object?", text: `${object.key} (${bytes(object.size)}) goes for good.`, yes: "Delete the object",
      done: "The object is deleted.", action: () => cloud.deleteObject(bucket, object.key)});
    if (done) refresh();
  };
  return [table(`Objects in ${bucket}`, [
    {name: "Name", cell: row => row.folder ? make("a", {class: "folder", href: bucketAddress(bucket, row.folder)}, below(row.folder)) : below(row.key)},
    {name: "Size", right: true, cell: row => row.folder ? "" : bytes(row.size)},
    {name: "Changed", cell: row => row.folder ? "" : stamp(row.modified)},
    {name: "Actions", actions: true, cell: row => row.folder ? "" : make("div", {class: "row"},
      make("button", {type: "button", class: "slim", "aria-label": `Download ${row.key}`, onclick: () => download(row)}, "Download"),
      make("button", {type: "button", class: "slim danger", "aria-label": `Delete ${row.key}`, onclick: () => remove(row)}, "Delete"))},
  ], rows), trouble];
}

export async function showBucket(view, [bucket, ...parts], turn) {
  const prefix = parts.join("/");
  let tokens = [""];  // of the pages up to the one that is shown
  const body = make("section", {class: "card"});
  const go = (button, to) => make("button", {type: "button", id: `page-${button.toLowerCase()}`, onclick: async () => { tokens = to; await refresh(); }}, `${button} page`);
  const refresh = newest(() => cloud.list(bucket, prefix, tokens.at(-1)), page => {
    const none = page.folders.length + page.objects.length === 0;
    replace(body, none ? empty(prefix === "" ? "The bucket is empty." : "Nothing is here.") : objectTable(bucket, prefix, page, refresh),
      (tokens.length > 1 || page.next) && make("div", {class: "row"}, tokens.length > 1 && go("Previous", tokens.slice(0, -1)),
        page.next && go("Next", [...tokens, page.next]), make("span", {class: "soft small"}, `Page ${tokens.length}`)));
  });
  const folders = prefix.split("/").slice(0, -1);
  const path = [["Buckets", "#/buckets"], ...(folders.length > 0 ? [[bucket, bucketAddress(bucket)]] : []),
    ...folders.slice(0, -1).map((name, i) => [name, bucketAddress(bucket, `${folders.slice(0, i + 1).join("/")}/`)])];
  replace(view, title(folders.at(-1) ?? bucket, {path}), body, uploads(bucket, prefix, refresh));
  return turn(10000, refresh);
}
