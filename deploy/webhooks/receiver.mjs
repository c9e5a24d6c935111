// Takes mail from mailferry (format = "json" or "raw") and prints a line for each.
//
//     npm install standardwebhooks
//     WEBHOOK_SECRET=whsec_... node receiver.mjs

import { isUtf8 } from "node:buffer";
import { createServer } from "node:http";
import { buffer } from "node:stream/consumers";
import { Webhook, WebhookVerificationError } from "standardwebhooks";

const webhook = new Webhook(process.env.WEBHOOK_SECRET);
const seen = new Set(); // Where mail matters, a table with a unique key: it has to outlive this program.

function take(id, contentType, body) {
  if (contentType === "application/json") {
    const mail = JSON.parse(body).data;
    const attachments = mail.attachments.map((attachment) => attachment.name);
    console.log(JSON.stringify({ id, subject: mail.subject, text: mail.text, attachments }));
  } else {
    // message/rfc822: the message itself
    console.log(JSON.stringify({ id, octets: body.length }));
  }
}

function answer(headers, body) {
  // A raw message need not be UTF-8, and the library verifies nothing else. JSON always is.
  if (!isUtf8(body)) return 400;
  try {
    webhook.verify(body, headers, { jsonParse: false });
  } catch (error) {
    if (error instanceof WebhookVerificationError) return 401;
    throw error;
  }
  const id = headers["webhook-id"];
  // The same message comes again when an answer was lost.
  if (!seen.has(id)) {
    take(id, headers["content-type"], body);
    seen.add(id); // After the work: what fails above comes again.
  }
  return 204;
}

const server = createServer(async (request, response) => {
  try {
    response.statusCode = answer(request.headers, await buffer(request));
  } catch (error) {
    console.error(error);
    response.statusCode = 500;
  }
  response.end();
});
server.listen(process.env.PORT ?? 8000, "127.0.0.1", () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}/`);
});
