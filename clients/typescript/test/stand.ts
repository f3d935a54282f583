// A local HTTP server that answers as it is told and keeps what it was asked.
// It knows nothing of Jobmill.

import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";

/** A request as it came in. */
export interface Asked {
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  body: any;
}

/** What to answer: a status with a document and headers, or the line cut, or nothing at all. */
export type Answer = { status: number; body?: unknown; headers?: Record<string, string> } | "cut" | "silence";

/** The server. The last answer is given again when there are no more. */
export class Stand {
  readonly asked: Asked[] = [];
  readonly #server: Server;
  #answers: Answer[] = [];

  private constructor() {
    this.#server = createServer(async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) {
        chunks.push(chunk);
      }
      const text = Buffer.concat(chunks).toString();
      const { method = "", url: path = "", headers } = request;
      this.asked.push({ method, path, headers, body: text === "" ? undefined : JSON.parse(text) });
      const answer = this.#answers.length > 1 ? this.#answers.shift() : this.#answers[0];
      if (answer === "cut") {
        request.socket.destroy();
      } else if (answer !== "silence" && answer !== undefined) {
        const body = typeof answer.body === "string" ? answer.body : JSON.stringify(answer.body ?? {});
        response.writeHead(answer.status, answer.headers).end(body);
      }
    });
  }

  static async start(...answers: Answer[]): Promise<Stand> {
    const stand = new Stand();
    stand.#answers = answers;
    await new Promise<void>((resolve) => stand.#server.listen(0, "127.0.0.1", resolve));
    return stand;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  stop(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}
