import { CombinedError } from "@urql/core";
import { reasonOf } from "./client";

/** What a mutation answers. If its refusal names no field and the message is about one, the refusal that is thrown names it. */
export async function placed<Data>(about: Record<string, RegExp>, answer: Promise<Data>): Promise<Data> {
  try {
    return await answer;
  } catch (error) {
    const { message, fields } = reasonOf(error as Error);
    const name = Object.keys(about).find((one) => about[one]!.test(message));
    if (!name || Object.keys(fields).length || !(error instanceof CombinedError)) throw error;
    const [{ extensions } = { extensions: {} }] = error.graphQLErrors;
    throw new CombinedError({ graphQLErrors: [{ message, extensions: { ...extensions, fields: { [name]: message } } }], response: error.response });
  }
}
