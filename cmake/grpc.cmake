# gRPC and protobuf, linked in rather than loaded: as shared libraries they are some sixty files
# that every start of the program would have to find and bind, whatever it is asked to do. Where the
# archives are not installed, the shared libraries serve.
set(Protobuf_USE_STATIC_LIBS ON)
find_package(Protobuf REQUIRED)
find_program(GRPC_CPP_PLUGIN grpc_cpp_plugin REQUIRED)
pkg_check_modules(GRPC REQUIRED IMPORTED_TARGET grpc++)

add_library(bertie_grpc INTERFACE)
set(archives)
foreach(name grpc++ grpc gpr upb address_sorting)
  find_library(GRPC_ARCHIVE_${name} lib${name}.a)
  list(APPEND archives ${GRPC_ARCHIVE_${name}})
endforeach()
get_filename_component(folder ${GRPC_ARCHIVE_grpc} DIRECTORY)
file(GLOB abseil ${folder}/libabsl_*.a)
if(archives MATCHES NOTFOUND OR NOT abseil)
  target_link_libraries(bertie_grpc INTERFACE PkgConfig::GRPC absl_synchronization)
else()
  # ssl and crypto by their plain names: as targets they would be put where other libraries want
  # them, before the archives, and be dropped there as not needed.
  target_link_libraries(bertie_grpc INTERFACE -Wl,--start-group ${archives} ${abseil}
    -Wl,--end-group ssl crypto re2 cares z Threads::Threads ${CMAKE_DL_LIBS})
endif()
