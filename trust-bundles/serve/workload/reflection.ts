/** gRPC's server reflection on a Workload API socket (SPIFFE Workload Endpoint §7): which services there are, and how to speak to them. */
import {
  type DescribedFile,
  describeServices,
  REFLECTION_V1,
  REFLECTION_V1_ALPHA,
} from '../../workload-api-proto/reflection.ts';
import { type Rpc, unary } from './rpc.ts';

/** Codes of gRPC's own statuses, as they stand in an answer. */
const NOT_FOUND = 5;
const UNIMPLEMENTED = 12;

type Question = ReturnType<typeof REFLECTION_V1.requestDeserialize>;
type Reply = Parameters<typeof REFLECTION_V1.responseSerialize>[0];

/** Names of the services that can be called, for health checking too. */
export const SERVICES: readonly string[] = describeServices().services;

/** Serves both versions. It shows no secret, so it asks for no header. */
export function reflectionRpcs(): readonly Rpc[] {
  const { services, files, filesBySymbol } = describeServices();
  const answer = (question: Question): NonNullable<Reply['messageResponse']> => {
    const { messageRequest: asked } = question;
    switch (asked.case) {
      case 'listServices':
        return { case: 'listServicesResponse', value: { service: services.map((name) => ({ name })) } };
      case 'fileByFilename':
        return fileAnswer(files.get(asked.value), files);
      case 'fileContainingSymbol':
        return fileAnswer(filesBySymbol.get(asked.value), files);
      case 'allExtensionNumbersOfType':
      case 'fileContainingExtension':
        return problem(NOT_FOUND, 'no message here has extensions');
      case undefined:
        return problem(UNIMPLEMENTED, 'expected one of the questions of server reflection');
      default:
        return asked satisfies never;
    }
  };
  return [REFLECTION_V1, REFLECTION_V1_ALPHA].map((wire) => ({
    ...unary(wire, (question) => {
      return { validHost: question.host, originalRequest: question, messageResponse: answer(question) };
    }),
    kind: 'exchange',
    needsHeader: false,
  }));
}

/** The file, and all that it imports: whoever reads it needs those too. */
function fileAnswer(
  file: DescribedFile | undefined,
  files: ReadonlyMap<string, DescribedFile>,
): NonNullable<Reply['messageResponse']> {
  if (file === undefined) return problem(NOT_FOUND, 'nothing of that name is described here');
  const wanted = new Set([file]);
  for (const each of wanted) {
    for (const name of each.imports) {
      const imported = files.get(name);
      if (imported !== undefined) wanted.add(imported);
    }
  }
  const fileDescriptorProto = [...wanted].map(({ bytes }) => bytes);
  return { case: 'fileDescriptorResponse', value: { fileDescriptorProto } };
}

function problem(errorCode: number, errorMessage: string): NonNullable<Reply['messageResponse']> {
  return { case: 'errorResponse', value: { errorCode, errorMessage } };
}
