// Calls of the server's public API: the same that Roboflow's clients use.

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export class Api {
  constructor() {
    this.key = "";
    this.imageId = null;
    this.dataUri = null;
  }

  async describeServer() {
    return this.#send("GET", "/info");
  }

  /** Sends an image once; later calls name it by its id. */
  async embed(dataUri, signal) {
    this.dataUri = dataUri;
    this.imageId = null;
    const image = { type: "base64", value: dataUri };
    const answer = await this.#send("POST", "/sam3/embed_image", { image }, signal);
    this.imageId = answer.image_id;
  }

  async segmentConcepts(prompts, threshold, signal) {
    const body = { prompts, output_prob_thresh: threshold, format: "rle" };
    return (await this.#onImage("/sam3/concept_segment", body, signal)).prompt_results;
  }

  async segmentObjects(prompts, signal) {
    const body = {
      prompts,
      multimask_output: prompts.length === 1 && (prompts[0].points?.length ?? 0) + (prompts[0].box ? 1 : 0) === 1,
      format: "rle",
      save_logits_to_cache: true,
      load_logits_from_cache: true,
    };
    return (await this.#onImage("/sam3/visual_segment", body, signal)).predictions;
  }

  async segmentEverything(pointsPerSide, signal) {
    const body = { prompts: null, points_per_side: pointsPerSide, format: "rle" };
    return (await this.#onImage("/sam3/visual_segment", body, signal)).predictions;
  }

  /** Sends the image to the language model of the server's operator, which chooses among masks. */
  async segmentDescribed(description, signal) {
    return this.#onImage("/sam3/describe_segment", { description, format: "rle" }, signal);
  }

  async #onImage(path, body, signal) {
    if (!this.imageId) await this.embed(this.dataUri, signal);
    try {
      return await this.#send("POST", path, { ...body, image_id: this.imageId }, signal);
    } catch (error) {
      if (error.status !== 404) throw error;
      // The server dropped the image to make room for others.
      await this.embed(this.dataUri, signal);
      return this.#send("POST", path, { ...body, image_id: this.imageId }, signal);
    }
  }

  async #send(method, path, body, signal) {
    const headers = {};
    if (body) headers["Content-Type"] = "application/json";
    if (this.key) headers.Authorization = `Bearer ${this.key}`;
    let response;
    try {
      response = await fetch(path, { method, headers, body: body && JSON.stringify(body), signal });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ApiError(0, "The server cannot be reached. Is it still running?");
    }
    const answer = await response.json().catch(() => ({}));
    if (!response.ok) {
      throw new ApiError(response.status, answer.message ?? `The server answered ${response.status}.`);
    }
    return answer;
  }
}
