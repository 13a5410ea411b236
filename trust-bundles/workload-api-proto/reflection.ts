/** gRPC's server reflection: its methods, and the descriptions of all that the Workload API's sockets serve (grpc/grpc doc/server-reflection.md). */
import { clone, type DescFile, type DescService, toBinary } from '@bufbuild/protobuf';
import { nestedTypes } from '@bufbuild/protobuf/reflect';
import { type FileDescriptorProto, FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';

import { file_health } from './generated/health_pb.js';
import { file_reflection, ServerReflection } from './generated/reflection_pb.js';
import { file_workload_api } from './generated/workload-api_pb.js';
import { methodOf } from './method.ts';

/** Answers each question on the stream. */
export const REFLECTION_V1 = methodOf(ServerReflection.method.serverReflectionInfo);

const V1 = 'grpc.reflection.v1';
/** The same messages under the name from before they were stable, by which older tools ask. */
const V1_ALPHA = 'grpc.reflection.v1alpha';

/** The same, under its older name. */
export const REFLECTION_V1_ALPHA = { ...REFLECTION_V1, path: REFLECTION_V1.path.replace(V1, V1_ALPHA) };

/** A file of descriptions. */
export interface DescribedFile {
  readonly name: string;
  /** Names of the files that it imports. */
  readonly imports: readonly string[];
  /** A serialized FileDescriptorProto. */
  readonly bytes: Uint8Array;
}

/** What can be asked for by name. */
export interface Descriptions {
  /** Names of all services, with their packages. */
  readonly services: readonly string[];
  readonly files: ReadonlyMap<string, DescribedFile>;
  /** The file in which a service, method, message or enum stands, by its full name. */
  readonly filesBySymbol: ReadonlyMap<string, DescribedFile>;
}

/** The descriptions of the Workload API, of health checking and of reflection, and of the files that they import. */
export function describeServices(): Descriptions {
  const files = new Map<string, DescribedFile>();
  const filesBySymbol = new Map<string, DescribedFile>();
  const services: string[] = [];
  const add = (file: DescFile, proto: FileDescriptorProto, rename: (name: string) => string): void => {
    const described = {
      name: proto.name,
      imports: proto.dependency,
      bytes: toBinary(FileDescriptorProtoSchema, proto),
    };
    files.set(described.name, described);
    for (const type of nestedTypes(file)) {
      if (type.kind !== 'extension') filesBySymbol.set(rename(type.typeName), described);
      for (const name of type.kind === 'service' ? methodNames(type) : []) filesBySymbol.set(rename(name), described);
    }
    services.push(...file.services.map(({ typeName }) => rename(typeName)));
  };
  const visit = (file: DescFile): void => {
    if (files.has(file.proto.name)) return;
    add(file, file.proto, (name) => name);
    file.dependencies.forEach(visit);
  };
  [file_workload_api, file_health, file_reflection].forEach(visit);
  add(file_reflection, asV1Alpha(file_reflection.proto), (name) => name.replace(V1, V1_ALPHA));
  return { services, files, filesBySymbol };
}

function methodNames({ typeName, methods }: DescService): readonly string[] {
  return methods.map(({ name }) => `${typeName}.${name}`);
}

function asV1Alpha(proto: FileDescriptorProto): FileDescriptorProto {
  const renamed = clone(FileDescriptorProtoSchema, proto);
  renamed.name = 'reflection-v1alpha.proto';
  renamed.package = V1_ALPHA;
  for (const field of renamed.messageType.flatMap((message) => message.field))
    field.typeName = field.typeName.replace(V1, V1_ALPHA);
  for (const method of renamed.service.flatMap((service) => service.method)) {
    method.inputType = method.inputType.replace(V1, V1_ALPHA);
    method.outputType = method.outputType.replace(V1, V1_ALPHA);
  }
  return renamed;
}
